//! The coefficients of solvers against the formulas of docs/model/sampling.md 6, written out in f64.

use zoetrope_model_spec::lang::{Builder, Dtype};
use zoetrope_model_spec::ltx::sampler::advanced;
use zoetrope_model_spec::ltx::schedule::{DISTILLED_SIGMAS, STAGE_2_SIGMAS, ltx2, skipping};
use zoetrope_model_spec::ltx::solver::{Draw, Evaluation, Operand, Solver};

const N: usize = 12;
type Tokens = [f64; N];

/// Random numbers of about the size of normal ones, the same ones for the same draw.
fn random(stream: u64, number: usize) -> Tokens {
    let mut state =
        stream.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (number as u64 + 1).wrapping_mul(0xD134_2543_DE82_EF95);
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1 << 30) - 1.0
    };
    std::array::from_fn(|_| (0..3).map(|_| uniform()).sum())
}

fn noise(draw: Draw) -> Tokens {
    match draw {
        Draw::Step(i) => random(1, i),
        Draw::Substep(i) => random(2, i),
    }
}

/// A model: bounded, and every element depends on others.
fn predicted(x: &Tokens, sigma: f64) -> Tokens {
    let target = random(3, 0);
    std::array::from_fn(|i| target[i] + 0.4 * (1.3 * x[i] + sigma).sin() + 0.3 * x[(i + 1) % N].tanh())
}

/// Some elements are held, some in part.
fn held(x: &Tokens) -> Tokens {
    let clean = random(4, 0);
    let mask: [f64; 3] = [1.0, 0.3, 0.0];
    std::array::from_fn(|i| x[i] * mask[i % 3] + clean[i] * (1.0 - mask[i % 3]))
}

fn x0(x: &Tokens, sigma: f64) -> Tokens {
    held(&predicted(x, sigma))
}

fn zip(a: &Tokens, b: &Tokens, f: impl Fn(f64, f64) -> f64) -> Tokens {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// Sections 6.1 to 6.3.
fn euler_like(solver: Solver, sigmas: &[f64]) -> Tokens {
    let (mut x, mut former): (Tokens, Option<Tokens>) = (random(5, 0), None);
    for (i, pair) in sigmas.windows(2).enumerate() {
        let (sigma, next) = (pair[0], pair[1]);
        let mut d = x0(&x, sigma);
        let euler = |x: &Tokens, d: &Tokens| zip(x, d, |x, d| x + (x - d) / sigma * (next - sigma));
        x = match solver {
            Solver::Ancestral { eta, s_noise } => {
                let down = next * (1.0 + (next / sigma - 1.0) * eta);
                let y = zip(&x, &d, |x, d| down / sigma * x + (1.0 - down / sigma) * d);
                let (alpha, alpha_down) = (1.0 - next, 1.0 - down);
                let c = (next.powi(2) - down.powi(2) * alpha.powi(2) / alpha_down.powi(2)).max(0.0).sqrt();
                let noisy = zip(&y, &noise(Draw::Step(i)), |y, e| alpha / alpha_down * y + c * s_noise * e);
                // Without noise the official loop does not hold twice.
                match next {
                    0.0 => d,
                    _ if eta == 0.0 => y,
                    _ => held(&noisy),
                }
            }
            Solver::GradientEstimation { gamma } => {
                let now = zip(&x, &d, |x, d| (x - d) / sigma);
                if let Some(former) = former.filter(|_| next != 0.0) {
                    let v = zip(&now, &former, |now, former| gamma * (now - former) + former);
                    d = zip(&x, &v, |x, v| x - v * sigma);
                }
                former = Some(now);
                if next == 0.0 { d } else { euler(&x, &d) }
            }
            _ => euler(&x, &d),
        };
    }
    x
}

fn inject(s: &Tokens, p: &Tokens, (sigma, t): (f64, f64), eta: f64, e: &Tokens) -> Tokens {
    let u = (eta * t).min(0.9999 * t);
    if u == 0.0 || t == 0.0 {
        return *p;
    }
    let r = (t * t - u * u).sqrt();
    let a = (1.0 - t) + r;
    std::array::from_fn(|i| {
        let along = (s[i] - p[i]) / (sigma - t);
        a * (s[i] - sigma * along + r / a * along) + u * e[i]
    })
}

/// Section 6.4, with its hundred rounds.
fn res_2s(sigmas: &[f64], eta: f64) -> Tokens {
    let mut levels = sigmas.to_vec();
    let to_none = levels.last() == Some(&0.0);
    let n = levels.len() - 1;
    if to_none {
        levels[n] = 0.0011;
    }
    let phi_1 = |z: f64| (z.exp() - 1.0) / z;
    let phi_2 = |z: f64| (z.exp() - 1.0 - z) / (z * z);
    let mut x = random(5, 0);
    for i in 0..n {
        let (sigma, next) = (levels[i], levels[i + 1]);
        let h = -(next / sigma).ln();
        let a = 0.5 * phi_1(-h / 2.0);
        let (b1, b2) = (phi_1(-h) - 2.0 * phi_2(-h), 2.0 * phi_2(-h));
        let d1 = x0(&x, sigma);
        let mut anchor = x;
        let mut e1 = zip(&d1, &anchor, |d, x| d - x);
        let middle = (sigma * next).sqrt();
        let m = zip(&anchor, &e1, |x, e| x + h * a * e);
        let m = held(&inject(&anchor, &m, (sigma, middle), eta, &noise(Draw::Substep(i))));
        if h < 0.5 && sigma > 0.03 {
            for _ in 0..100 {
                anchor = zip(&m, &e1, |m, e| m - h * a * e);
                e1 = zip(&d1, &anchor, |d, x| d - x);
            }
        }
        let d2 = x0(&m, middle);
        let y: Tokens = std::array::from_fn(|i| anchor[i] + h * (b1 * e1[i] + b2 * (d2[i] - anchor[i])));
        x = held(&inject(&anchor, &y, (sigma, next), eta, &noise(Draw::Step(i))));
    }
    if to_none { x0(&x, 0.0011) } else { x }
}

/// What a plan does: registers of f32, and the products and sums of f32 that kernels make.
fn run(solver: Solver, evaluations: &[Evaluation]) -> Tokens {
    let updates = solver.updates();
    let mut registers = vec![random(5, 0).map(|x| x as f32); updates.len()];
    for evaluation in evaluations {
        let state = registers[0].map(f64::from);
        let x0 = x0(&state, f64::from(evaluation.sigma)).map(|x| x as f32);
        let noise = evaluation.noise.map_or([7.0; N], noise).map(|x| x as f32);
        let mut coefficients = evaluation.coefficients.iter();
        let mut next: Vec<[f32; N]> = Vec::new();
        for update in updates {
            let value = |operand: &Operand| match operand {
                Operand::X0 => x0,
                Operand::Noise => noise,
                Operand::Next => next[0],
                register => {
                    registers[updates.iter().position(|update| update.register == *register).unwrap()]
                }
            };
            let operands: Vec<[f32; N]> = update.terms.iter().map(value).collect();
            let mut made = operands[0];
            if operands.len() > 1 {
                let terms = operands.iter().map(|o| (o, *coefficients.next().unwrap()));
                let products: Vec<[f32; N]> = terms.map(|(o, c)| o.map(|x| x * c)).collect();
                made = products[0];
                for product in &products[1..] {
                    made.iter_mut().zip(product).for_each(|(sum, x)| *sum += x);
                }
            }
            if evaluation.holds && update.register == Operand::State {
                assert!(solver.draws());
                made = held(&made.map(f64::from)).map(|x| x as f32);
            }
            next.push(made);
        }
        assert!(coefficients.next().is_none(), "coefficients that no sum has");
        registers = next;
    }
    registers[0].map(f64::from)
}

fn distance(a: &Tokens, b: &Tokens) -> f64 {
    let norm = |x: &Tokens| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    norm(&zip(a, b, |a, b| a - b)) / norm(b)
}

/// Lists that runs have, and some that end above none; long ones too, whose steps are short.
fn schedules() -> Vec<Vec<f32>> {
    let mut all = vec![DISTILLED_SIGMAS.to_vec(), STAGE_2_SIGMAS.to_vec(), vec![0.9, 0.5], vec![1.0, 0.0]];
    all.extend(
        [(4, 4096), (15, 8160), (15, 15_810), (30, 4096), (60, 4096)].map(|(n, tokens)| ltx2(n, tokens)),
    );
    all.push(DISTILLED_SIGMAS[..5].to_vec());
    all
}

const SOLVERS: [Solver; 9] = [
    Solver::Euler,
    Solver::Ancestral { eta: 1.0, s_noise: 1.0 },
    Solver::Ancestral { eta: 0.4, s_noise: 0.7 },
    Solver::Ancestral { eta: 0.0, s_noise: 1.0 },
    Solver::GradientEstimation { gamma: 2.0 },
    Solver::GradientEstimation { gamma: 1.0 },
    Solver::Res2s { eta: 0.5 },
    Solver::Res2s { eta: 0.25 },
    Solver::Res2s { eta: 0.0 },
];

#[test]
fn registers_of_f32_follow_the_formulas_in_f64() {
    for sigmas in schedules() {
        let exact: Vec<f64> = sigmas.iter().map(|sigma| f64::from(*sigma)).collect();
        for solver in SOLVERS {
            let want = match solver {
                Solver::Res2s { eta } => res_2s(&exact, eta),
                _ => euler_like(solver, &exact),
            };
            let evaluations = solver.evaluations(&sigmas);
            assert!(evaluations.iter().all(|e| e.coefficients.len() == solver.coefficients()));
            let error = distance(&run(solver, &evaluations), &want);
            assert!(error < 2e-6, "{solver:?} over {} levels: {error:.1e}", sigmas.len());
        }
    }
}

#[test]
fn solvers_evaluate_and_draw_as_often_as_the_reference() {
    let of = |solver: Solver, sigmas: &[f32]| solver.evaluations(sigmas);
    let res_2s = Solver::Res2s { eta: 0.5 };
    assert_eq!([of(res_2s, &ltx2(15, 8160)).len(), of(res_2s, &STAGE_2_SIGMAS).len()], [31, 7]);
    assert_eq!(of(res_2s, &[0.9, 0.5]).len(), 2, "a list that ends above none has no last evaluation");
    let two = of(res_2s, &[0.5, 0.3, 0.0]);
    let middles = [(0.5f64 * 0.3).sqrt(), (0.3f64 * 0.0011).sqrt()].map(|x| x as f32);
    let levels: Vec<f32> = two.iter().map(|e| e.sigma).collect();
    let near = |a: f32, b: f32| (a - b).abs() <= 1e-7;
    assert!(
        levels.iter().zip([0.5, middles[0], 0.3, middles[1], 0.0011]).all(|(a, b)| near(*a, b)),
        "{levels:?}"
    );
    let draws: Vec<Option<Draw>> = two.iter().map(|e| e.noise).collect();
    let [first, second] = [0, 1].map(|i| [Some(Draw::Substep(i)), Some(Draw::Step(i))]);
    assert_eq!(draws, [&first[..], &second, &[None]].concat());
    assert!(of(Solver::Res2s { eta: 0.0 }, &DISTILLED_SIGMAS).iter().all(|e| e.noise.is_none()));
    let ancestral = of(Solver::Ancestral { eta: 1.0, s_noise: 1.0 }, &STAGE_2_SIGMAS);
    let draws: Vec<Option<Draw>> = ancestral.iter().map(|e| e.noise).collect();
    assert_eq!(draws, [Some(Draw::Step(0)), Some(Draw::Step(1)), None]);
    for solver in SOLVERS {
        assert_eq!([of(solver, &[]), of(solver, &[0.0])], [vec![], vec![]]);
    }
}

/// Euler goes over what is skipped at once, to the same latents.
#[test]
fn skipped_steps_change_nothing() {
    for sigmas in schedules() {
        for skip in 0..4 {
            let (mut x, mut d) = (random(5, 0), [0.0; N]);
            for (i, pair) in
                sigmas.windows(2).map(|pair| (f64::from(pair[0]), f64::from(pair[1]))).enumerate()
            {
                if i % (skip + 1) == 0 {
                    d = x0(&x, pair.0);
                }
                x = zip(&x, &d, |x, d| x + (x - d) / pair.0 * (pair.1 - pair.0));
            }
            let kept = skipping(&sigmas, skip);
            assert_eq!(kept.len(), (sigmas.len() - 1).div_ceil(skip + 1) + 1);
            let error = distance(&run(Solver::Euler, &Solver::Euler.evaluations(&kept)), &x);
            assert!(error < 2e-6, "{skip} skipped of {} levels: {error:.1e}", sigmas.len());
        }
    }
    assert_eq!(skipping(&DISTILLED_SIGMAS, 1), [1.0, 0.9875, 0.975, 0.725, 0.0]);
    assert_eq!(skipping(&STAGE_2_SIGMAS, 1), [0.909375, 0.421875, 0.0]);
    assert!(skipping(&[], 1).is_empty());
}

/// The recorded registers are sums of as many terms as the solver says, and only what is made with noise is held again.
#[test]
fn recorded_updates_are_those_of_the_solver() {
    for solver in SOLVERS {
        let b = Builder::new("test", Dtype::F32);
        let tokens = |name: &str| b.input(name, Dtype::F32, &[5, 4]);
        let registers: Vec<_> = solver.updates().iter().map(|_| tokens("register")).collect();
        let (x0, noise) = (tokens("x0"), solver.draws().then(|| tokens("noise")));
        let coefficients = b.input("coefficients", Dtype::F32, &[solver.coefficients()]);
        let next = advanced(&b, solver, &registers, x0, noise, coefficients, |x| b.clamp(x, 0.0, 1.0));
        assert!(next.iter().all(|register| b.shape(*register) == [5, 4]));
        next.iter().for_each(|register| b.output("register", *register));
        let graph = b.finish().expect("recorded");
        let labels: Vec<_> = graph.statements().iter().map(|(_, stmt)| stmt.op.label()).collect();
        let count = |label: &str| labels.iter().filter(|l| **l == label).count();
        let sums = solver.updates().iter().filter(|update| update.coefficients() > 0).count();
        assert_eq!([count("mul"), count("slice")], [solver.coefficients(); 2]);
        assert_eq!(
            [count("add"), count("clamp")],
            [solver.coefficients() - sums, usize::from(solver.draws())]
        );
    }
}
