//! Whatever goes wrong, no file is left and the message says what to do.

use std::path::Path;

use zoetrope::media::{MediaError, Mp4Writer};
use zoetrope_test_support::picture::yuv420_bytes;

use super::{Clip, folder, smooth, tones};

fn clip(rgb: &[f32]) -> Clip<'_> {
    Clip { width: 32, height: 32, fps: 24.0, rgb, waveform: &[] }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn bad_clips_are_refused_and_leave_nothing() {
    let (folder, path) = folder();
    let rgb = smooth(32, 32, 2);
    let good = clip(&rgb);
    let refused = |clip: &Clip| {
        let error = clip.try_write(&path, &[]).unwrap_err();
        assert_eq!(count(folder.path()), 0, "{error}");
        error
    };
    for (width, height) in [(31, 32), (32, 33), (2, 2), (0, 0), (8192, 32), (usize::MAX - 1, usize::MAX - 1)]
    {
        assert!(
            matches!(refused(&Clip { width, height, ..good }), MediaError::Size { .. }),
            "{width}x{height}"
        );
    }
    assert!(matches!(refused(&Clip { rgb: &[], ..good }), MediaError::NoFrames));
    assert!(matches!(refused(&Clip { fps: 0.0, ..good }), MediaError::FrameRate(_)));
    assert!(matches!(
        refused(&Clip { waveform: &[0.0; 3], ..good }),
        MediaError::Channels { left: 1, right: 2 }
    ));
    let error = good.try_write(&path, &[(String::new(), "x".into())]).unwrap_err();
    assert!(matches!(error, MediaError::EmptyKey(_)));
}

#[test]
fn bad_paths_are_refused() {
    let (folder, _) = folder();
    let rgb = smooth(32, 32, 2);
    let refused = |path: &Path| clip(&rgb).try_write(path, &[]).unwrap_err();
    assert!(matches!(refused(folder.path()), MediaError::IsFolder(_)));
    assert!(matches!(refused(Path::new("")), MediaError::NoFileName(_)));
    let missing = folder.path().join("missing");
    let error = refused(&missing.join("clip.mp4"));
    assert!(matches!(&error, MediaError::NoFolder(at) if *at == missing), "{error}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(matches!(refused(&folder.path().join("file/clip.mp4")), MediaError::NoFolder(_)));
    assert_eq!(count(folder.path()), 1);
}

#[cfg(unix)]
#[test]
fn a_locked_folder_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let set = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let locked = std::fs::File::create(folder.path().join("probe")).is_err();
    let written = clip(&smooth(32, 32, 2)).try_write(&path, &[]);
    set(0o755);
    // The superuser may write anywhere.
    if locked {
        assert!(matches!(written.unwrap_err(), MediaError::Create { .. }));
        assert_eq!(count(folder.path()), 0);
    } else {
        written.unwrap();
    }
}

#[test]
fn unfinished_writers_leave_nothing_and_keep_the_old_file() {
    let (folder, path) = folder();
    std::fs::write(&path, "old").unwrap();
    let mut writer = Mp4Writer::create(&path, 32, 32, 24.0, &[]).unwrap();
    writer.push_frame(&yuv420_bytes(&smooth(32, 32, 1), 32, 32)).unwrap();
    assert_eq!(count(folder.path()), 1, "only the old file");
    drop(writer);
    let empty = Mp4Writer::create(&path, 32, 32, 24.0, &[]).unwrap();
    assert!(matches!(empty.finish(), Err(MediaError::NoFrames)));
    assert_eq!(count(folder.path()), 1);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn bad_pieces_are_refused() {
    let (_folder, path) = folder();
    let mut writer = Mp4Writer::create(&path, 32, 32, 24.0, &[]).unwrap();
    let error = writer.push_frame(&[0; 32 * 34 / 2 * 3]).unwrap_err();
    assert!(matches!(error, MediaError::FrameLength { frame: 0, got: 1632, wanted: 1536 }), "{error}");
    let error = writer.push_sound(&tones(10), &[]).unwrap_err();
    assert!(matches!(error, MediaError::Channels { left: 20, right: 0 }), "{error}");
}

#[test]
fn a_failure_at_the_end_leaves_nothing() {
    let (folder, path) = folder();
    let mut writer = Mp4Writer::create(&path, 32, 32, 24.0, &[]).unwrap();
    writer.push_frame(&yuv420_bytes(&smooth(32, 32, 1), 32, 32)).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(writer.finish(), Err(MediaError::Rename { .. })));
    assert_eq!(count(folder.path()), 1, "only the folder that was in the way");
}
