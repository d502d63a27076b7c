//! Guided steps: passes that leave something out, and what is made of them; and tokens that hear little of each other.

use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_compiler::{Options, compile};
use zoetrope_model_spec::lang::{Builder, Dtype, Value};
use zoetrope_model_spec::ltx::attention::bias_of;
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::guidance::Pass;
use zoetrope_model_spec::ltx::recipe::Recipe;
use zoetrope_model_spec::ltx::rope::Axis;
use zoetrope_model_spec::ltx::transformer::{
    PassInput, PerStream, Positions, Ropes, Stream, one_class, velocities, velocity,
};
use zoetrope_model_spec::program::{Phase, Program};
use zoetrope_model_spec::target::Target;
use zoetrope_test_support::golden::Case;

use crate::model::{Model, eval, folder, input, renamed, sample, target};

fn fields(dtype: &str) -> Target {
    target(&format!(
        "width = 96\nheight = 128\nframes = 17\nfps = 25\ntext_tokens = 29\npipeline = \"one-stage\"\n\
         dtype = \"{dtype}\"\nguidance = {{ stg_blocks = [1] }}"
    ))
}

/// Runs what `record` records on the small model.
fn recorded(inputs: &Named, record: impl FnOnce(&Builder, &ModelConfig, &Target)) -> Named {
    let target = fields("f32");
    let model = dimensions(&target, &folder()).unwrap();
    let facts =
        compile_levels(&target, &model, Scope::Phase("connect"), &[], Options::default()).unwrap().plan.facts;
    let b = Builder::new("recorded", Dtype::F32);
    record(&b, &model, &target);
    let phases = vec![Phase::alone(b.finish().unwrap())];
    let plan = compile(Program { phases }, "recorded", facts, Options::default()).unwrap();
    let files = Model::open();
    let mut session = Session::new(&plan, &files).unwrap();
    session.run("recorded", inputs, &[], &mut Unwatched).unwrap();
    let outputs = plan.phases[0].outputs.iter();
    outputs.map(|o| (o.name.to_string(), session.output("recorded", &o.name).unwrap())).collect()
}

#[test]
fn four_passes_in_one_step() {
    let case = Case::load("transformer_guided_batch").unwrap();
    let of = |name: &str, pass: usize| sample(&input(&case, name), pass);
    let mut inputs = Named::new();
    for stream in ["v", "a"] {
        inputs.insert(format!("{stream}.latent"), of(&format!("in.{stream}.latent"), 0));
        inputs.insert(format!("{stream}.sigma"), of(&format!("in.{stream}.sigma"), 0));
        inputs.insert(format!("{stream}.context"), of(&format!("in.{stream}.context"), 0));
        inputs.insert(format!("{stream}.negative"), of(&format!("in.{stream}.context"), 1));
    }
    let model = dimensions(&fields("f32"), &folder()).unwrap();
    let stage = &Recipe::named("one-stage").unwrap().stages[0];
    let passes = stage.guidance.as_ref().unwrap().passes(&model.transformer);
    let out = recorded(&inputs, |b, model, target| {
        let t = &model.transformer;
        let port = |name: &str, rows: usize, width: usize| b.input(name, Dtype::F32, &[rows, width]);
        let contexts = |end: &str| PerStream {
            video: Some(port(&format!("v.{end}"), 37, t.video.width())),
            audio: Some(port(&format!("a.{end}"), 37, t.audio.width())),
        };
        let (positive, negative) = (contexts("context"), contexts("negative"));
        let stream = |name: &str, tokens: usize| {
            let sigma = b.input(&format!("{name}.sigma"), Dtype::F32, &[1]);
            let latent = port(&format!("{name}.latent"), tokens, 128);
            Stream {
                latent,
                timesteps: sigma,
                class: one_class(b, name, tokens),
                sigma,
                bias: None,
                bias_from_outside: None,
            }
        };
        let video = Some(stream("v", target.size.video_tokens()));
        let streams = PerStream { video, audio: Some(stream("a", target.size.audio_tokens())) };
        let pass_input = |pass: &Pass| PassInput {
            skip: pass.skip(&[1], t.layers),
            context: if *pass == Pass::Uncond { negative } else { positive },
        };
        let pass_inputs: Vec<PassInput> = passes.iter().map(pass_input).collect();
        let made = velocities(b, t, &Ropes::of(b, t, &Positions::of(&target.size, t)), streams, &pass_inputs);
        let all = |of: fn(&PerStream<Option<Value>>) -> Option<Value>| {
            b.concat(&made.iter().filter_map(of).collect::<Vec<_>>())
        };
        b.output("v.velocity", all(|x| x.video));
        b.output("a.velocity", all(|x| x.audio));
    });
    let whole =
        |name: &str, tokens: usize| (name.to_string(), Tensor::real(&[4, tokens, 128], out[name].reals()));
    let out = Named::from([whole("v.velocity", 36), whole("a.velocity", 17)]);
    let names = [("v.velocity", "v.velocity"), ("a.velocity", "a.velocity")];
    println!("{}", case.check(&renamed(&out, &names), 1.0).unwrap_or_else(|e| panic!("{e}")));
}

/// Appended tokens at places of their own, in three classes of noise, with weights of attention between them.
#[test]
fn weights_of_attention() {
    let case = Case::load("transformer_attention_mask").unwrap();
    let mut inputs = Named::new();
    for name in &case.inputs {
        inputs.insert(name["in.".len()..].to_string(), input(&case, name));
    }
    let tokens = 60;
    let timesteps = inputs["v.timesteps"].reals();
    let mut distinct: Vec<f32> = Vec::new();
    let class = timesteps.iter().map(|t| {
        distinct.iter().position(|d| d == t).unwrap_or_else(|| {
            distinct.push(*t);
            distinct.len() - 1
        }) as i32
    });
    let class: Vec<i32> = class.collect();
    inputs.insert("v.class".to_string(), Tensor::int(&[tokens], class));
    inputs.insert("v.classes".to_string(), Tensor::real(&[distinct.len()], distinct.clone()));
    // Start and end of every token along three axes.
    let spans = inputs["v.positions"].reals();
    let mids = |axis: usize| spans[axis * tokens * 2..][..tokens * 2].chunks(2).map(|s| (s[0] + s[1]) / 2.0);
    inputs.retain(|name, _| {
        !["v.timesteps", "a.timesteps", "v.positions", "a.positions"].contains(&name.as_str())
    });
    let out = recorded(&inputs, |b, model, target| {
        let t = &model.transformer;
        let port = |name: &str, shape: &[usize]| b.input(name, Dtype::F32, shape);
        let [sigma_v, sigma_a] = ["v.sigma", "a.sigma"].map(|name| port(name, &[1]));
        let video = Stream {
            latent: port("v.latent", &[tokens, 128]),
            timesteps: port("v.classes", &[distinct.len()]),
            class: b.input("v.class", Dtype::I32, &[tokens]),
            sigma: sigma_v,
            bias: Some(bias_of(b, port("v.attention_mask", &[tokens, tokens]))),
            bias_from_outside: None,
        };
        let audio = Stream {
            latent: port("a.latent", &[17, 128]),
            timesteps: sigma_a,
            class: one_class(b, "a", 17),
            sigma: sigma_a,
            bias: None,
            bias_from_outside: None,
        };
        let axis = |i: usize| Axis { mids: mids(i).collect(), max_pos: t.video_max_pos[i] };
        let positions = Positions {
            video: [axis(0), axis(1), axis(2)],
            video_index: (0..tokens)
                .flat_map(|i| [i, tokens + i, 2 * tokens + i].map(|i| i as i32))
                .collect(),
            ..Positions::of(&target.size, t)
        };
        let [video_context, audio_context] = [("v.context", t.video.width()), ("a.context", t.audio.width())]
            .map(|(name, width)| port(name, &[37, width]));
        let context = PerStream { video: video_context, audio: audio_context };
        let made = velocity(b, t, &positions, video, audio, context);
        b.output("v.velocity", b.reshape(made.video, &[1, tokens, 128]));
        b.output("a.velocity", b.reshape(made.audio, &[1, 17, 128]));
    });
    let names = [("v.velocity", "v.velocity"), ("a.velocity", "a.velocity")];
    println!("{}", case.check(&renamed(&out, &names), 1.0).unwrap_or_else(|e| panic!("{e}")));
}

/// The ports of scales, by the names that the official code gives its parameters.
pub fn scales(params: &serde_json::Value, stream: &str) -> Named {
    let port = |name: &str| {
        (format!("{stream}{name}"), Tensor::real(&[1], vec![params[name].as_f64().unwrap() as f32]))
    };
    ["cfg_scale", "stg_scale", "modality_scale", "rescale_scale"].map(port).into()
}

fn guided_loop(dtype: &str, scale: f64) {
    let case = Case::load("denoise_t2v_guided").unwrap();
    let contexts = Case::load("denoise_contexts").unwrap();
    let mut inputs = Named::from([("sigmas".to_string(), input(&case, "in.sigmas"))]);
    for stream in ["v", "a"] {
        inputs.extend(scales(&case.facts["guiders"][stream], &format!("{stream}.")));
        inputs.insert(format!("{stream}.noise"), input(&case, &format!("in.noise.{stream}")));
        inputs.insert(format!("{stream}.context"), input(&contexts, &format!("in.context.{stream}")));
        inputs.insert(
            format!("{stream}.context.negative"),
            input(&contexts, &format!("in.context.{stream}_neg")),
        );
    }
    let out = eval(&fields(dtype), "denoise", &inputs, &[]);
    let names = [("v.latent", "final.v"), ("a.latent", "final.a")];
    println!("{}", case.check(&renamed(&out, &names), scale).unwrap_or_else(|e| panic!("{e}")));
}

#[test]
fn guided_loop_f32() {
    guided_loop("f32", 1.0);
}

#[test]
fn guided_loop_bf16() {
    guided_loop("bf16", 500.0);
}
