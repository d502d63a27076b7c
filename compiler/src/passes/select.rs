//! Every launch of a plan gets a compiled form of its kernel, a number of blocks, and its argument.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zoetrope_kernels::cuda::{ARCHS, Class, Launch, LaunchError, Part, Variant, View};
use zoetrope_kernels::{Kernel, Meaning, catalog};
use zoetrope_model_spec::lang::{Attr, Dtype};
use zoetrope_runtime::plan::{
    self, ALIGN, ARGUMENT_HEADER, ARGUMENT_OPERAND, Arch, Call, Code, Function, Map, Operand, Plan,
};

use crate::error::{Error, Result};

/// The code of a plan, and what its functions are compiled from, in the same order.
pub struct Selected {
    pub code: Code,
    pub variants: Vec<Variant>,
}

/// Chooses the functions for cards of a class: kernels of that class where they fit, else portable ones. The code is
/// for the architectures whose fastest kernels are of the class, and for no others.
///
/// # Errors
/// A launch whose kernel has no CUDA, or does not take its operands.
pub fn select(plan: &Plan, class: Class) -> Result<Selected> {
    let catalog = catalog();
    let bound: Vec<(&Kernel, Meaning)> =
        plan.kernels.iter().map(|k| bind(&catalog, k)).collect::<Result<_>>()?;
    let mut out = Selection::default();
    for (launch, _) in plan.phases.iter().flat_map(plan::Phase::launches) {
        let (kernel, meaning) = &bound[launch.kernel as usize];
        let fail = |e: LaunchError| Error::Select { path: launch.path().to_string(), message: e.to_string() };
        let parts: Vec<Part> = launch
            .parts
            .iter()
            .map(|p| Part { reads: p.reads.iter().map(view).collect(), write: view(&p.write) })
            .collect();
        let variant = Variant::of(kernel, meaning, &parts, class).map_err(fail)?;
        let launched = variant.launch(&parts).map_err(fail)?;
        out.add(variant, launched);
    }
    let arch = |arch: &zoetrope_kernels::cuda::Arch| Arch {
        name: Cow::Borrowed(arch.name),
        serves: Cow::Borrowed(arch.serves),
    };
    let code = Code {
        plan: plan.name.clone(),
        class: Cow::Borrowed(class.name()),
        archs: ARCHS.iter().filter(|arch| arch.class == class).map(arch).collect(),
        functions: Cow::Owned(out.functions),
        calls: Cow::Owned(out.calls),
        arguments: Cow::Owned(out.arguments),
        maps: Cow::Owned(out.maps),
    };
    Ok(Selected { code, variants: out.variants })
}

#[derive(Default)]
struct Selection {
    by_key: BTreeMap<String, u32>,
    variants: Vec<Variant>,
    functions: Vec<Function>,
    calls: Vec<Call>,
    arguments: Vec<u8>,
    maps: Vec<Map>,
}

impl Selection {
    fn add(&mut self, variant: Variant, launch: Launch) {
        let Launch { blocks, mut argument, maps, .. } = launch;
        // What stands there only told the kernel how operands are aligned. Behind the operands all is zeros.
        for at in (ARGUMENT_HEADER..argument.len()).step_by(ARGUMENT_OPERAND) {
            argument[at..at + size_of::<u64>()].fill(0);
        }
        let tensors = variant.reads.len() + 1;
        let maps: Vec<Map> = maps
            .iter()
            .map(|map| Map {
                at: map.at as u32,
                operand: (map.part * tensors + map.operand) as u32,
                extents: map.extents,
                stride: map.stride,
                tile: map.tile,
            })
            .collect();
        let next = self.functions.len() as u32;
        let function = *self.by_key.entry(variant.key()).or_insert(next);
        if function == next {
            self.functions.push(Function {
                symbol: Cow::Owned(variant.symbol()),
                key: Cow::Owned(variant.key()),
                threads: variant.threads as u32,
                shared: variant.shared as u32,
                argument_bytes: argument.len() as u32,
                strides: variant.strides,
            });
            self.variants.push(variant);
        }
        self.calls.push(Call {
            function,
            blocks: blocks as u32,
            argument: self.arguments.len() as u64,
            maps: (self.maps.len() as u32, maps.len() as u32),
        });
        self.arguments.append(&mut argument);
        self.maps.extend(maps);
    }
}

fn bind<'k>(catalog: &'k [Kernel], kernel: &plan::Kernel) -> Result<(&'k Kernel, Meaning)> {
    let attrs: Vec<Attr> = kernel.attrs.iter().copied().map(Attr::from).collect();
    let known = catalog.iter().find(|k| k.name == kernel.name);
    known.and_then(|k| Some((k, k.meaning.with_attrs(&attrs)?))).ok_or_else(|| Error::Select {
        path: kernel.name.to_string(),
        message: "no declared kernel takes these attributes".to_string(),
    })
}

/// The address says only how the operand is aligned: bases are, to [`ALIGN`].
fn view(operand: &Operand) -> View {
    View {
        dtype: match operand.dtype {
            plan::Dtype::F32 => Dtype::F32,
            plan::Dtype::Bf16 => Dtype::Bf16,
            plan::Dtype::I32 => Dtype::I32,
            plan::Dtype::U8 => Dtype::U8,
        },
        shape: operand.shape.iter().map(|d| *d as usize).collect(),
        row_stride: operand.row_stride as usize,
        address: (operand.offset | operand.step) % ALIGN,
    }
}
