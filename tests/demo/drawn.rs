//! The evaluator itself, on clips that the world drew and another encoder wrote.

use std::path::PathBuf;

use zoetrope_test_support::asks_for_long;
use zoetrope_test_support::mp4::Read;
use zoetrope_test_support::seen::{Film, Scenery, Seen};

/// What the demo model is compared with, as tools/demo-model/fixtures.py writes it.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/demo"))
}

pub fn scenery() -> Scenery {
    Scenery::load(&folder().join("backgrounds")).unwrap()
}

/// A line of `captions.tsv` or `drawn.tsv`.
pub struct Line {
    /// A caption, or a file's name.
    pub name: String,
    /// What the clip shows.
    pub shows: Seen,
    /// How loud it is: left, then right, every 20 ms.
    pub loudness: Vec<f32>,
}

pub fn lines(file: &str) -> Vec<Line> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let line = |line: &str| {
        let fields: Vec<String> = line.split('\t').map(str::to_string).collect();
        let [name, colour, shape, motion, background, loudness] = &fields[..] else { panic!("{line}") };
        let some = |name: &String| Some(name.clone());
        let (colour, shape, motion) = (some(colour), some(shape), some(motion));
        let shows = Seen { colour, shape, motion, background: background.clone() };
        let loudness = loudness.split(' ').map(|x| x.parse::<f32>().unwrap() / 1000.0).collect();
        Line { name: name.clone(), shows, loudness }
    };
    text.lines().map(line).collect()
}

/// Shares of clips that are seen as they should be: colour, shape, motion, background.
pub fn right(clips: &[(Seen, Seen)]) -> [f64; 4] {
    let share = |same: fn(&Seen, &Seen) -> bool| {
        clips.iter().filter(|(want, have)| same(want, have)).count() as f64 / clips.len() as f64
    };
    [
        share(|want, have| want.colour == have.colour),
        share(|want, have| want.shape == have.shape),
        share(|want, have| want.motion == have.motion),
        share(|want, have| want.background == have.background),
    ]
}

#[test]
fn what_was_drawn_is_seen() {
    let scenery = scenery();
    let look = |line: Line| {
        let have = scenery.look(&Film::of_mp4(&Read::file(&folder().join("drawn").join(&line.name))));
        if have != line.shows {
            println!("{}: {:?}\n seen as {have:?}", line.name, line.shows);
        }
        (line.shows, have)
    };
    let lines = lines("drawn.tsv");
    assert!(lines.len() > 50);
    let every = if asks_for_long("three of four drawn clips") { 1 } else { 4 };
    let clips: Vec<(Seen, Seen)> = lines.into_iter().step_by(every).map(look).collect();
    let shares = right(&clips);
    assert!(shares.iter().all(|share| *share >= 0.98), "{shares:?}");
}

#[cfg(feature = "aac-fdk")]
#[test]
fn what_was_drawn_is_heard() {
    use zoetrope_test_support::seen::{Sound, correlation};

    for line in lines("drawn.tsv") {
        let sound = Sound::of_mp4(&Read::file(&folder().join("drawn").join(&line.name)));
        let loudest = |loudness: &[f32]| loudness.iter().fold(0.0f32, |most, x| x.max(most));
        let (have, want) = (sound.loudness(), &line.loudness);
        let alike = correlation(&have, want);
        // A codec at a low rate smears loudness over time.
        assert!(alike > 0.85 || loudest(want) == 0.0, "{}: {alike}", line.name);
        assert!((loudest(&have) - loudest(want)).abs() < 0.3 * loudest(want) + 1e-3, "{}", line.name);
        assert!(sound.peak() < 1.0);
    }
}
