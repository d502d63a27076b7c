//! What a target says of the storage of its matrices.

use crate::lang::{Dtype, Kept};

/// What matrices stay in: an encoding by its name, or, as where nothing is said, the target's own dtype.
pub(super) fn kept(said: Option<&str>, dtype: Dtype, problems: &mut Vec<String>) -> Option<Kept> {
    let said = said.filter(|said| *said != dtype.name())?;
    let kept = Kept::from_name(said);
    if kept.is_none() {
        problems.push(wanted(said, &format!("\"{dtype}\", ")));
    }
    kept
}

/// Reads the name of an encoding that matrices may stay in.
///
/// # Errors
/// Says what was wanted.
pub fn parse_weights(text: &str) -> Result<Kept, String> {
    Kept::from_name(text).ok_or_else(|| wanted(text, ""))
}

fn wanted(said: &str, others: &str) -> String {
    let names = Kept::ALL.map(|kept| format!("\"{kept}\""));
    format!("weights is {said:?}, wanted {others}{}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    #[test]
    fn weights_stay_in_what_the_target_names() {
        let parsed = |dtype: &str, weights: &str| {
            let text = format!(
                "width = 256\nheight = 192\nframes = 25\nfps = 24\npipeline = \"distilled\"\nmodel = \"demo\"\n\
                 dtype = \"{dtype}\"\n{weights}"
            );
            Target::parse("my", &text).map(|target| target.weights)
        };
        assert_eq!(parsed("bf16", ""), Ok(None));
        assert_eq!(parsed("bf16", "weights = \"bf16\""), Ok(None));
        for kept in Kept::ALL {
            assert_eq!(parsed("f32", &format!("weights = \"{kept}\"")), Ok(Some(kept)));
        }
        for (dtype, weights) in [("f32", "bf16"), ("bf16", "q9_9"), ("bf16", "Q8_0")] {
            let error = parsed(dtype, &format!("weights = \"{weights}\"")).unwrap_err().to_string();
            assert!(error.contains("weights is") && error.contains("\"q8_0\""), "{error}");
        }
        assert_eq!(parse_weights("fp8"), Ok(Kept::Fp8));
        assert!(parse_weights("bf16").is_err());
    }
}
