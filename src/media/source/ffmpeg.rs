//! What this program does not read by itself: an `ffmpeg` on the PATH does.

use std::ffi::OsString;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::error::Problem;
use super::sound::{self, Samples};
use super::video::Frames;
use super::y4m;
use super::yuv::{Colours, rgb};

/// The first sound of a file, in one or two channels. `why` is why nobody else reads it.
pub(super) fn sound(path: &Path, why: String) -> Result<Samples, Problem> {
    let arguments =
        ["-map", "0:a:0", "-af", "aformat=channel_layouts=stereo|mono", "-c:a", "pcm_f32le", "-f", "wav"];
    run(path, &arguments, why, |from| {
        let mut wav = Vec::new();
        from.read_to_end(&mut wav).map_err(|e| e.to_string())?;
        sound::decode(wav).map_err(|problem| format!("{problem:?}"))
    })
}

/// The first `most` frames of the first video of a file.
pub(super) fn video(path: &Path, most: usize, why: String) -> Result<Frames, Problem> {
    let limit = most.to_string();
    let arguments = [
        "-map",
        "0:v:0",
        "-frames:v",
        &limit,
        "-vf",
        "scale=out_color_matrix=bt709:out_range=tv",
        "-pix_fmt",
        "yuv444p",
        "-f",
        "yuv4mpegpipe",
    ];
    run(path, &arguments, why, |from| {
        let stream = y4m::read(BufReader::new(from), most)?;
        let (width, height) = (stream.width, stream.height);
        let of = |planes: &Vec<u8>| {
            let (luma, rest) = planes.split_at(width * height);
            let (blue, red) = rest.split_at(width * height);
            rgb([(luma, width), (blue, width), (red, width)], [width, height], [1, 1], Colours::BT709)
        };
        let frames: Vec<Vec<u8>> = stream.frames.iter().map(of).collect();
        let total = Some(frames.len()).filter(|count| *count < most);
        Ok(Frames { width, height, fps: stream.fps, frames, total })
    })
}

/// Runs it on a file; `take` reads what it writes.
fn run<T>(
    path: &Path,
    arguments: &[&str],
    why: String,
    take: impl FnOnce(&mut dyn Read) -> Result<T, String>,
) -> Result<T, Problem> {
    // A path is a path, whatever it begins with.
    let mut input = OsString::from("file:");
    input.push(path);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(input).args(arguments).arg("-");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Problem::Alone(why)),
        Err(error) => return Err(Problem::Ffmpeg { why, said: error.to_string() }),
    };
    // Both pipes are read at once, so that neither one fills up.
    let errors = child.stderr.take().map(|mut from| {
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = from.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        })
    });
    let taken = match child.stdout.take() {
        Some(mut from) => take(&mut from),
        None => Err("it writes nothing".to_string()),
    };
    let ended = child.wait();
    let said = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if said.contains("matches no streams") {
        return Err(Problem::Missing);
    }
    match (taken, ended) {
        (Ok(made), Ok(status)) if status.success() => Ok(made),
        (taken, ended) => {
            let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
            let own = taken.err().or_else(|| ended.err().map(|e| e.to_string()));
            let said = last.map(str::to_string).or(own).unwrap_or_else(|| "nothing".to_string());
            Err(Problem::Ffmpeg { why, said: said.trim_end_matches('.').to_string() })
        }
    }
}
