//! What a stage is told of the clip, lowered to what each token has: a clean value, how much of it is held, where it is,
//! and whether others see it (docs/model/pipelines.md 2.4).

use super::attention::{Group, OwnBias, bias_of};
use super::carried::carried;
use super::config::Transformer;
use super::layout::video_tokens;
use super::recipe::{Attention, Item, Reference};
use super::sizes::{Size, TIME, mids};
use super::transformer::Positions;
use crate::lang::{Builder, Dtype, Role, Value};

/// What is said of the tokens of a stream: those of the clip, then appended ones, which are dropped at the end.
#[derive(Clone, Debug)]
pub struct Conditioning {
    pub positions: Positions,
    /// `None` where all tokens are generated.
    pub held: Option<Held>,
    /// `None` where all tokens are seen.
    pub hidden: Option<Hidden>,
    /// What is added to scores of self-attention, f32 [groups, tokens], a row for each of the positions' groups; `None` where
    /// all tokens attend to each other alike.
    pub bias: Option<Value>,
    /// Beginning and end of what each keyframe covers, in seconds, f32 [1, 2].
    pub keyframes: Vec<Value>,
}

/// What holds tokens of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Which class each token belongs to, i32 \[tokens\].
    pub class: Value,
    /// How much of a class is generated, f32 \[classes\]: 1 all, 0 nothing. Class 0 is all of it.
    pub mask: Value,
    /// What tokens are held to, [tokens, channels]; zeros where nothing is.
    pub clean: Value,
}

/// Which tokens nobody sees: those that there is room for and that a request does not bring.
#[derive(Clone, Copy, Debug)]
pub struct Hidden {
    /// 1 for tokens that are seen, 0 for others, f32 \[tokens\].
    pub visible: Value,
    /// What is added to scores of those that would attend to them, f32 [1, tokens].
    pub bias: Value,
}

impl Held {
    /// Noise levels of the classes where the stream has `sigma`, f32 \[classes\].
    pub fn timesteps(&self, b: &Builder, sigma: Value) -> Value {
        b.mul(self.mask, sigma)
    }
}

/// Holds tokens [count, channels] that stand behind the `generated` ones of a stream to what they are. `name` begins the
/// names of its values.
pub fn held_behind(b: &Builder, name: &str, generated: usize, reference: Value) -> Held {
    let count = b.dim(reference, 0);
    let class = (0..generated + count).map(|token| i32::from(token >= generated)).collect();
    let row = (0..generated + count).map(|token| token.checked_sub(generated).unwrap_or(count) as i32);
    let nothing = b.round(b.constant("nothing", &[1, b.width(reference)], vec![0.0; b.width(reference)]));
    let row = b.index(&format!("{name}.clean_row"), &[generated + count], row.collect());
    Held {
        class: b.index(&format!("{name}.class"), &[generated + count], class),
        mask: b.constant(&format!("{name}.denoised"), &[2], vec![1.0, 0.0]),
        clean: b.gather(b.concat(&[reference, nothing]), row),
    }
}

/// A span of time of a stream that a request says: ports `v.region_start` and `v.region_end`, in seconds.
#[derive(Clone, Copy)]
pub struct Region {
    start: Value,
    end: Value,
}

impl Region {
    /// Records the ports of the stream whose names begin with `name`.
    pub fn new(b: &Builder, name: &str) -> Region {
        let port = |end: &str, role: Role| b.port(&format!("{name}.region_{end}"), role, Dtype::F32, &[1]);
        let stream = name.to_string();
        Region {
            start: port("start", Role::RegionStart { stream: stream.clone() }),
            end: port("end", Role::RegionEnd { stream }),
        }
    }

    /// Holds the tokens of a stream that do not reach into it to `clean` [tokens, channels]. `spans` are beginnings and ends
    /// of the tokens, in seconds; `name` begins the names of its values.
    pub fn held(&self, b: &Builder, name: &str, spans: &[[f32; 2]], clean: Value) -> Held {
        let tokens = spans.len();
        let column = |what: &str, end: usize| {
            b.constant(&format!("{name}.{what}"), &[tokens, 1], spans.iter().map(|span| span[end]).collect())
        };
        // 1 where a difference is above 0, else 0: a number this large leaves nothing between.
        let above = |x: Value, sign: f32| b.clamp(b.affine(x, sign * 1e30, 0.0), 0.0, 1.0);
        let reaches = b.mul(
            above(b.sub(column("ends", 1), self.start), 1.0),
            above(b.sub(column("starts", 0), self.end), -1.0),
        );
        let class = b.cast(b.affine(reaches, -1.0, 1.0), Dtype::I32);
        Held {
            class: b.reshape(class, &[tokens]),
            mask: b.constant(&format!("{name}.denoised"), &[2], vec![1.0, 0.0]),
            clean,
        }
    }
}

/// What every token of the video has, collected item by item.
struct Tokens<'a> {
    b: &'a Builder,
    size: Size,
    channels: usize,
    /// Of each token.
    class: Vec<i32>,
    clean_row: Vec<Option<i32>>,
    index: Vec<i32>,
    /// Of each class, f32 \[1\].
    masks: Vec<Value>,
    /// Rows of clean values.
    clean: Vec<Value>,
    clean_rows: i32,
    times: Vec<Value>,
    spans: Vec<Value>,
    /// Whether the tokens of each keyframe are seen, f32 \[1\].
    visible: Vec<Value>,
    /// Tokens of the clip and of each item behind it, and how strongly they and the clip's attend to each other.
    groups: Vec<(usize, Weight)>,
}

/// How strongly the tokens of an item and the clip's attend to each other.
#[derive(Clone, Copy)]
enum Weight {
    /// Nobody says.
    Full,
    /// f32 \[1\].
    Uniform(Value),
    /// That of each of its tokens, f32 \[tokens\].
    OfTokens(Value),
}

/// What `items` say of the video of a stage. Latents of images come in at ports `v.image` and `v.keyframe1`,
/// [1, channels, 1, rows, columns], their strengths at `v.image_strength` and so on, the frames of keyframes at
/// `v.keyframe1_frame`, and whether there are such at `v.keyframe1_visible`. Latents of the window before come in at
/// `v.carried`.
pub fn conditioned_video(b: &Builder, cfg: &Transformer, size: Size, items: &[Item]) -> Conditioning {
    let mut positions = Positions::of(&size, cfg);
    if items.iter().any(|item| matches!(item, Item::ReferenceSound(_))) {
        positions.extend_audio(&mids(&size.reference_sound_cells()));
    }
    if items.iter().all(|item| item.images().is_empty() && item.reference().is_none()) {
        return Conditioning { positions, held: None, hidden: None, bias: None, keyframes: Vec::new() };
    }
    let references: Vec<Reference> = items.iter().filter_map(|item| item.reference()).collect();
    // Rows of the table first, so that indexes of tokens stay what they are.
    let rows: Vec<[i32; 3]> = references
        .iter()
        .map(|it| positions.extend(&size.reference_cells(*it).map(|cells| mids(&cells))))
        .collect();
    let tokens = size.video_tokens();
    let mut all = Tokens {
        b,
        size,
        channels: cfg.video_channels,
        class: vec![0; tokens],
        clean_row: vec![None; tokens],
        index: positions.video_index.clone(),
        masks: vec![b.constant("generated", &[1], vec![1.0])],
        clean: Vec::new(),
        clean_rows: 0,
        times: Vec::new(),
        spans: Vec::new(),
        visible: Vec::new(),
        groups: vec![(tokens, Weight::Full)],
    };
    for item in items {
        for (number, port) in item.images() {
            match item {
                Item::FirstFrame => all.replace(number, &port, 0),
                Item::Keyframes(_) => all.append(number, &port, &positions),
                Item::Reference(_) | Item::ReferenceSound(_) | Item::Carried(_) | Item::Region => {}
            }
        }
        if let Item::Carried(frames) = item {
            all.carry(frames / TIME);
        }
    }
    for (number, (reference, rows)) in (1..).zip(references.into_iter().zip(rows)) {
        all.refer(number, reference, rows);
    }
    all.done(positions)
}

impl Tokens<'_> {
    fn frame(&self) -> usize {
        let [_, rows, cols] = self.size.latent();
        rows * cols
    }

    fn number(&self, port: String, role: Role) -> Value {
        self.b.port(&port, role, Dtype::F32, &[1])
    }

    /// A class of what an image holds, and the first row of its clean values.
    fn image(&mut self, number: usize, port: &str, appended: bool) -> (i32, i32) {
        let (b, [_, rows, cols]) = (self.b, self.size.latent());
        let role = Role::ImageLatent { number };
        let image = b.port(port, role, b.dtype(), &[1, self.channels, 1, rows, cols]);
        let strength = self.number(format!("{port}_strength"), Role::Strength { number });
        let mask = b.affine(strength, -1.0, 1.0);
        // Masks of appended tokens are made as latents are stored (docs/model/sampling.md 9).
        let mask = if appended { b.cast(b.round(mask), Dtype::F32) } else { mask };
        let first = (self.masks.len() as i32, self.clean_rows);
        self.masks.push(mask);
        self.clean.push(video_tokens(b, image));
        self.clean_rows += self.frame() as i32;
        first
    }

    /// An image in place of latent frame `at`.
    fn replace(&mut self, number: usize, port: &str, at: usize) {
        let (class, row) = self.image(number, port, false);
        let frame = self.frame();
        for (i, token) in (at * frame..(at + 1) * frame).enumerate() {
            self.class[token] = class;
            self.clean_row[token] = Some(row + i as i32);
        }
    }

    /// The last so many latent frames of the window before, behind the first frame.
    fn carry(&mut self, frames: usize) {
        let (b, [_, rows, cols]) = (self.b, self.size.latent());
        let (latent, mask) = carried(b, "v", &[1, self.channels, frames, rows, cols]);
        let (class, first, frame) = (self.masks.len() as i32, self.clean_rows, self.frame());
        self.masks.push(mask);
        self.clean.push(video_tokens(b, latent));
        let tokens = frames * frame;
        self.clean_rows += tokens as i32;
        for i in 0..tokens {
            self.class[frame + i] = class;
            self.clean_row[frame + i] = Some(first + i as i32);
        }
    }

    /// An image behind the clip, as what the frame that a request says looks like.
    fn append(&mut self, number: usize, port: &str, positions: &Positions) {
        let (b, frame) = (self.b, self.frame());
        let (class, row) = self.image(number, port, true);
        let at = self.number(format!("{port}_frame"), Role::Frame { number });
        // An image covers one frame, from its beginning to that of the next one, in seconds.
        let fps = b.constant("fps", &[1], vec![self.size.fps as f32]);
        let stride = self.size.stride as f32;
        let (start, end) = (b.div(at, fps), b.div(b.affine(at, 1.0, stride), fps));
        let time_row = positions.video.iter().map(|axis| axis.mids.len()).sum::<usize>() + self.times.len();
        self.times.push(b.affine(b.add(start, end), 0.5, 0.0));
        self.spans.push(b.reshape(b.concat(&[start, end]), &[1, 2]));
        self.visible.push(self.number(format!("{port}_visible"), Role::Visible { number }));
        self.groups.push((frame, Weight::Full));
        for i in 0..frame {
            self.class.push(class);
            self.clean_row.push(Some(row + i as i32));
            let [_, y, x] = [0, 1, 2].map(|axis| positions.video_index[3 * i + axis]);
            self.index.extend([time_row as i32, y, x]);
        }
    }

    /// A reference video at port `v.reference1`, [1, channels, frames, rows, columns], with the strength at
    /// `v.reference1_strength`, and at `v.reference1_attention` how strongly it and the clip attend to each other: one number,
    /// or that of each latent cell. `rows` are the first ones of its positions.
    fn refer(&mut self, number: usize, reference: Reference, rows: [i32; 3]) {
        let (b, port) = (self.b, format!("v.reference{number}"));
        let [frames, high, wide] = reference.latent(self.size);
        let latent = b.input(&port, b.dtype(), &[1, self.channels, frames, high, wide]);
        let strength = self.number(format!("{port}_strength"), Role::ReferenceStrength { number });
        let mask = b.affine(strength, -1.0, 1.0);
        let (class, first) = (self.masks.len() as i32, self.clean_rows);
        // As those of images that are appended.
        self.masks.push(b.cast(b.round(mask), Dtype::F32));
        self.clean.push(video_tokens(b, latent));
        let tokens = frames * high * wide;
        self.clean_rows += tokens as i32;
        let attention = |shape: &[usize]| {
            let role = Role::ReferenceAttention { number };
            b.port(&format!("{port}_attention"), role, Dtype::F32, shape)
        };
        let weight = match reference.attention {
            Attention::Full => Weight::Full,
            Attention::Uniform => Weight::Uniform(attention(&[1])),
            Attention::Masked => Weight::OfTokens(b.reshape(attention(&[frames, high, wide]), &[tokens])),
        };
        self.groups.push((tokens, weight));
        for i in 0..tokens {
            self.class.push(class);
            self.clean_row.push(Some(first + i as i32));
            let place = [i / (high * wide), i / wide % high, i % wide];
            self.index.extend([0, 1, 2].map(|axis| rows[axis] + place[axis] as i32));
        }
    }

    /// The groups of tokens, and the bias of each to all tokens (docs/model/sampling.md 8); `None` where nobody asks for one.
    ///
    /// What is appended attends to itself and to the clip. Items before the first one with a strength attend fully to each
    /// other and to the clip; they and later ones do not attend to each other.
    fn groups(&self) -> Option<(Vec<Group>, Value)> {
        let b = self.b;
        let asked = self.groups.iter().position(|(_, weight)| !matches!(weight, Weight::Full))?;
        let constant = |x: f32| b.constant("attention", &[1], vec![x]);
        let (together, apart) = self.groups.split_at(asked);
        let before = together.iter().map(|(tokens, _)| tokens).sum::<usize>();
        let clip = self.groups[0].0;
        // The clip, what else stood there, and each later item.
        let mut sizes = vec![clip];
        sizes.extend((before > clip).then_some(before - clip));
        let first = sizes.len();
        sizes.extend(apart.iter().map(|(tokens, _)| tokens));
        let weight = |group: usize| match apart[group - first].1 {
            Weight::Uniform(weight) => weight,
            // Those of tokens stand beside what a pair of groups has.
            Weight::Full | Weight::OfTokens(_) => constant(1.0),
        };
        let of_pair = |a: usize, c: usize| match (a.min(c), a.max(c)) {
            (low, high) if low == high || high < first => constant(1.0),
            (0, high) => weight(high),
            _ => constant(0.0),
        };
        let tokens: usize = sizes.iter().sum();
        let group_of: Vec<i32> =
            sizes.iter().enumerate().flat_map(|(group, tokens)| vec![group as i32; *tokens]).collect();
        // The clip sees each token of an item with weights of tokens by its own: they follow those of pairs.
        let mut of_tokens: Vec<Value> = Vec::new();
        let (mut seen_by_clip, mut next) = (group_of.clone(), sizes.len() as i32);
        let mut groups: Vec<Group> =
            sizes.iter().map(|tokens| Group { tokens: *tokens, own: None }).collect();
        let in_clip = (0..tokens).map(|token| f32::from(u8::from(token < clip))).collect::<Vec<_>>();
        for (group, (_, weight)) in (first..).zip(apart) {
            let Weight::OfTokens(weights) = weight else { continue };
            of_tokens.push(*weights);
            for row in seen_by_clip.iter_mut().filter(|row| **row == group as i32) {
                *row = next;
                next += 1;
            }
            let number = b.reshape(bias_of(b, *weights), &[sizes[group], 1]);
            let share = b.constant("v.in_clip", &[tokens, 1], in_clip.clone());
            groups[group].own = Some(OwnBias { number, share });
        }
        let group_of = b.index("v.group", &[tokens], group_of);
        let seen_by_clip = match of_tokens.is_empty() {
            true => group_of,
            false => b.index("v.seen_by_clip", &[tokens], seen_by_clip),
        };
        let rows: Vec<Value> = (0..sizes.len())
            .map(|a| {
                let mut weights: Vec<Value> = (0..sizes.len()).map(|c| of_pair(a, c)).collect();
                let row_of = if a == 0 { seen_by_clip } else { group_of };
                weights.extend(of_tokens.iter().filter(|_| a == 0));
                let weights = b.concat(&weights);
                let bias = b.reshape(bias_of(b, weights), &[b.dim(weights, 0), 1]);
                b.reshape(b.gather(bias, row_of), &[1, tokens])
            })
            .collect();
        Some((groups, b.concat(&rows)))
    }

    /// Which tokens are seen; `None` where there are no keyframes.
    fn hidden(&self) -> Option<Hidden> {
        if self.visible.is_empty() {
            return None;
        }
        let (b, tokens, kinds) = (self.b, self.class.len(), self.visible.len() + 1);
        let shown = b.constant("shown", &[1], vec![1.0]);
        let visible = b.concat(&[&[shown], self.visible.as_slice()].concat());
        let (frame, in_clip) = (self.frame(), self.size.video_tokens());
        // Of the clip, and of references behind keyframes, all are.
        let kind =
            |token: usize| Some((token + frame).saturating_sub(in_clip) / frame).filter(|kind| *kind < kinds);
        let kind = |token: usize| kind(token).unwrap_or(0) as i32;
        let kind = b.index("v.keyframe", &[tokens], (0..tokens).map(kind).collect());
        let of_tokens = |column| b.gather(b.reshape(column, &[kinds, 1]), kind);
        Some(Hidden {
            visible: b.reshape(of_tokens(visible), &[tokens]),
            bias: b.reshape(of_tokens(bias_of(b, visible)), &[1, tokens]),
        })
    }

    fn done(self, positions: Positions) -> Conditioning {
        let hidden = self.hidden();
        let (video_groups, bias) = self.groups().unzip();
        // What nobody sees is seen by no group either.
        let bias = bias.map(|bias| hidden.map_or(bias, |hidden| self.b.add(bias, hidden.bias)));
        let Tokens {
            b, channels, mut clean, clean_rows, class, clean_row, index, masks, times, spans, ..
        } = self;
        let tokens = class.len();
        clean.push(b.round(b.constant("nothing", &[1, channels], vec![0.0; channels])));
        let row = clean_row.iter().map(|row| row.unwrap_or(clean_rows)).collect();
        let row = b.index("v.clean_row", &[tokens], row);
        Conditioning {
            positions: Positions {
                video_index: index,
                video_groups: video_groups.unwrap_or_default(),
                later_times: times,
                ..positions
            },
            held: Some(Held {
                class: b.index("v.class", &[tokens], class),
                mask: b.tap("v.denoise_mask", b.concat(&masks)),
                clean: b.tap("v.clean_latent", b.gather(b.concat(&clean), row)),
            }),
            hidden,
            bias,
            keyframes: spans,
        }
    }
}
