//! Coefficients of solvers against the official code's steps.

use zoetrope_kernels::catalog;
use zoetrope_kernels::eval::{Data, DataMut, Operand, Tensor, TensorMut, evaluate};
use zoetrope_model_spec::ltx::schedule::DISTILLED_SIGMAS;
use zoetrope_model_spec::ltx::solver::{Injection, Solver};
use zoetrope_test_support::golden::{Case, rel_l2};

#[test]
fn steps() {
    let case = Case::load("steps").unwrap();
    let real = |name: &str| case.tensor(name).as_f32().to_vec();
    let (x, x0, noise) = (real("in.sample"), real("in.denoised"), real("in.noise"));
    let sum = |coefficients: &[f32]| -> Vec<f32> {
        let operands = [&x, &x0, &noise];
        let terms = |i: usize| coefficients.iter().zip(operands).map(move |(c, operand)| c * operand[i]);
        (0..x.len()).map(|i| terms(i).sum()).collect()
    };
    for output in case.outputs.iter().filter(|output| *output != "post_process") {
        // euler.4, ancestral.eta0.5.4
        let (solver, step) = output.rsplit_once('.').unwrap();
        let step: usize = step.parse().unwrap();
        let eta = || solver.split_once(".eta").unwrap().1.parse().unwrap();
        let coefficients = match solver.split('.').next() {
            Some("euler") => Solver::Euler.evaluations(&DISTILLED_SIGMAS)[step].coefficients.clone(),
            Some("ancestral") => {
                let solver = Solver::Ancestral { eta: eta(), s_noise: 1.0 };
                solver.evaluations(&DISTILLED_SIGMAS)[step].coefficients.clone()
            }
            Some("res2s") => {
                let [from, to] = [0, 1].map(|i| f64::from(DISTILLED_SIGMAS[step + i]));
                let Injection { anchor, predicted, noise } = Injection::new(from, to, eta());
                [anchor, predicted, noise].map(|c| c as f32).to_vec()
            }
            _ => panic!("{output} is of no solver"),
        };
        let error = rel_l2(&sum(&coefficients), &real(output));
        assert!(error <= case.tolerance.of(output), "{output}: {error:.2e}");
    }
}

/// x0 is held to what is given by one launch, to the reference's numbers.
#[test]
fn held_to_what_is_given() {
    let case = Case::load("steps").unwrap();
    let real = |name: &str| case.tensor(name).as_f32().to_vec();
    let (x0, clean, mask) = (real("in.denoised"), real("in.clean"), real("in.mask"));
    // Each token is a class of its own.
    let (tokens, class) = (mask.len(), (0..mask.len() as i32).collect::<Vec<_>>());
    let (shape, column) = ([tokens, x0.len() / tokens], [tokens, 1]);
    let tensor =
        |data, shape| Operand::Tensor(Tensor { data, shape, row_stride: *<[usize]>::last(shape).unwrap() });
    let operands = [
        tensor(Data::F32(&x0), &shape[..]),
        tensor(Data::F32(&clean), &shape[..]),
        tensor(Data::F32(&mask), &column[..]),
        tensor(Data::I32(&class), &column[..1]),
    ];
    let mut out = vec![0.0; x0.len()];
    let known = catalog();
    let held = known.iter().find(|kernel| kernel.name == "held").unwrap();
    evaluate(&held.meaning, &operands, &[], TensorMut { data: DataMut::F32(&mut out), shape: &shape })
        .unwrap();
    let error = rel_l2(&out, &real("post_process"));
    assert!(error <= case.tolerance.of("post_process"), "{error:.2e}");
}
