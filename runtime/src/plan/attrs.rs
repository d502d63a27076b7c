//! Attributes of a plan's kernels are those of their meanings.

use zoetrope_model_spec::lang::Attr;

use super::Number;

impl From<Attr> for Number {
    fn from(attr: Attr) -> Number {
        match attr {
            Attr::Int(i) => Number::Int(i),
            Attr::Real(x) => Number::Real(x),
        }
    }
}

impl From<Number> for Attr {
    fn from(number: Number) -> Attr {
        match number {
            Number::Int(i) => Attr::Int(i),
            Number::Real(x) => Attr::Real(x),
        }
    }
}
