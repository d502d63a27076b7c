//! Pictures as users have them: the reference's numbers, every kind, odd sizes, broken files.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{
    DynamicImage, ExtendedColorType, GrayAlphaImage, GrayImage, ImageEncoder, ImageFormat, RgbImage,
    RgbaImage,
};
use zoetrope::media::{DEFAULT_CRF, Image, MAX_CRF};
use zoetrope_test_support::golden::{Case, rel_l2};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file of these bytes, opened without compression.
fn open(bytes: &[u8]) -> Result<Image, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    std::fs::write(&path, bytes).unwrap();
    Image::open(&path, 0).map_err(|error| {
        let said = error.to_string();
        assert!(said.contains(path.to_str().unwrap()) && !said.ends_with('.'), "{said}");
        said
    })
}

fn written(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The bytes of a picture, row by row.
fn pixels(image: &Image) -> Vec<[u8; 3]> {
    let (width, height) = image.size();
    let values = image.fit(width, height);
    let byte = |x: f32| ((x + 1.0) * 127.5).round() as u8;
    let at = |i: usize| [0, 1, 2].map(|c| byte(values[c * width * height + i]));
    (0..width * height).map(at).collect()
}

/// Red rises to the right and green downwards, as in the fixtures.
fn gradient(width: u32, height: u32) -> RgbImage {
    let part = |i: u32, n: u32| (i * 255 / (n - 1).max(1)) as u8;
    RgbImage::from_fn(width, height, |x, y| image::Rgb([part(x, width), part(y, height), 128]))
}

/// The largest distance of a byte from the picture of the fixtures.
fn distance(image: &Image) -> u8 {
    let (width, height) = image.size();
    let wanted = gradient(width as u32, height as u32);
    let pairs = pixels(image).into_iter().flatten().zip(wanted.into_raw());
    pairs.map(|(have, want)| have.abs_diff(want)).max().unwrap()
}

#[test]
fn the_reference_prepares_the_same_numbers() {
    let case = Case::load("image").unwrap();
    let image = Image::open(&fixture("gamma/image.png"), 0).unwrap();
    let seen: Vec<i64> = pixels(&image).into_iter().flatten().map(i64::from).collect();
    assert_eq!((image.size(), seen), ((61, 133), case.tensor("in.pixels").as_i64().to_vec()));
    for (name, width, height) in [("64x96.tensor", 96, 64), ("96x64.tensor", 64, 96)] {
        let error = rel_l2(&image.fit(width, height), case.tensor(name).as_f32());
        assert!(error <= case.tolerance.of(name) / 10.0, "{name}: {error}");
    }
}

#[test]
fn every_kind_is_eight_bit_rgb() {
    let rgb = gradient(24, 16);
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let image = open(&written(rgb.clone(), format)).unwrap();
        assert_eq!((image.size(), distance(&image), image.notes().len()), ((24, 16), 0, 0), "{format:?}");
    }
    assert!(distance(&open(&written(rgb.clone(), ImageFormat::Jpeg)).unwrap()) < 40);
    for (name, most) in [("progressive.jpg", 24), ("lossy.webp", 24), ("palette.png", 90)] {
        let image = Image::open(&fixture("images").join(name), 0).unwrap();
        assert!(image.size() == (24, 16) && distance(&image) <= most, "{name}: {}", distance(&image));
    }
    let one = |image: DynamicImage| pixels(&open(&written(image, ImageFormat::Png)).unwrap());
    // Alpha is left out, not blended.
    let clear = RgbaImage::from_pixel(3, 2, image::Rgba([10, 20, 30, 0]));
    assert_eq!(one(clear.into()), [[10, 20, 30]; 6]);
    assert_eq!(one(GrayImage::from_pixel(1, 1, image::Luma([7])).into()), [[7; 3]]);
    assert_eq!(one(GrayAlphaImage::from_pixel(1, 1, image::LumaA([7, 99])).into()), [[7; 3]]);
    let wide = image::ImageBuffer::from_pixel(1, 1, image::Rgb([0u16, 0x8080, 0xffff]));
    assert_eq!(one(DynamicImage::ImageRgb16(wide)), [[0, 128, 255]]);
    let wide = image::ImageBuffer::from_pixel(1, 1, image::Luma([0x4040u16]));
    assert_eq!(one(DynamicImage::ImageLuma16(wide)), [[64; 3]]);
}

#[test]
fn of_an_animation_the_first_frame_is_taken() {
    for name in ["animated.png", "animated.webp"] {
        let image = Image::open(&fixture("images").join(name), 0).unwrap();
        assert_eq!((image.size(), distance(&image)), ((24, 16), 0), "{name}");
        assert!(matches!(image.notes(), [note] if note.contains("animated")), "{:?}", image.notes());
    }
}

/// A TIFF header with one entry.
fn orientation(number: u8) -> Vec<u8> {
    let entry = [0x12, 1, 3, 0, 1, 0, 0, 0, number, 0, 0, 0];
    [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
}

#[test]
fn cameras_say_which_way_is_up() {
    let rgb = RgbImage::from_fn(2, 1, |x, _| image::Rgb([[200, 0, 0], [0, 0, 200]][x as usize]));
    let (red, blue) = ([200, 0, 0], [0, 0, 200]);
    let with = |format: ImageFormat, number: u8, rgb: &RgbImage| {
        let mut bytes = Vec::new();
        let exif = orientation(number);
        let (data, width, height, kind) = (rgb.as_raw(), rgb.width(), rgb.height(), ExtendedColorType::Rgb8);
        fn write(
            mut encoder: impl ImageEncoder,
            exif: Vec<u8>,
            (data, width, height, kind): (&[u8], u32, u32, ExtendedColorType),
        ) {
            encoder.set_exif_metadata(exif).unwrap();
            encoder.write_image(data, width, height, kind).unwrap();
        }
        let picture = (data.as_slice(), width, height, kind);
        match format {
            ImageFormat::Png => write(PngEncoder::new(&mut bytes), exif, picture),
            ImageFormat::WebP => write(WebPEncoder::new_lossless(&mut bytes), exif, picture),
            _ => write(JpegEncoder::new_with_quality(&mut bytes, 100), exif, picture),
        }
        open(&bytes).unwrap()
    };
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let seen = |number| {
            let image = with(format, number, &rgb);
            (image.size(), pixels(&image))
        };
        assert_eq!(seen(1), ((2, 1), vec![red, blue]));
        assert_eq!(seen(3), ((2, 1), vec![blue, red]));
        assert_eq!(seen(6), ((1, 2), vec![red, blue]));
        assert_eq!(seen(8), ((1, 2), vec![blue, red]));
    }
    assert_eq!(with(ImageFormat::Jpeg, 6, &gradient(32, 8)).size(), (8, 32));
}

/// Display P3 to sRGB, by the published matrices.
fn srgb_of_p3(rgb: [u8; 3]) -> [f64; 3] {
    let linear = rgb.map(|byte| {
        let x = f64::from(byte) / 255.0;
        if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
    });
    let rows =
        [[1.224_94, -0.224_94, 0.0], [-0.042_057, 1.042_057, 0.0], [-0.019_638, -0.078_636, 1.098_274]];
    rows.map(|row| {
        let x: f64 = row.iter().zip(linear).map(|(a, b)| a * b).sum::<f64>().clamp(0.0, 1.0);
        255.0 * if x <= 0.003_130_8 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 }
    })
}

fn with_profile(rgb: &RgbImage, profile: Vec<u8>) -> Image {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(profile).unwrap();
    encoder.write_image(rgb.as_raw(), rgb.width(), rgb.height(), ExtendedColorType::Rgb8).unwrap();
    open(&bytes).unwrap()
}

#[test]
fn embedded_profiles_become_srgb() {
    let rgb = gradient(16, 16);
    let image = with_profile(&rgb, moxcms::ColorProfile::new_display_p3().encode().unwrap());
    assert_eq!(image.notes(), [""; 0]);
    for (have, p3) in pixels(&image).into_iter().zip(rgb.pixels()) {
        let apart = have.iter().zip(srgb_of_p3(p3.0)).map(|(have, want)| (f64::from(*have) - want).abs());
        assert!(apart.fold(0.0, f64::max) < 2.0, "{:?}: {have:?}, {:?} wanted", p3.0, srgb_of_p3(p3.0));
    }
    // What says sRGB stays as it is.
    let image = with_profile(&rgb, moxcms::ColorProfile::new_srgb().encode().unwrap());
    assert_eq!((distance(&image), image.notes().len()), (0, 0));
    // Greys have profiles of their own.
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_icc_profile(moxcms::ColorProfile::new_gray_with_gamma(1.0).encode().unwrap()).unwrap();
    encoder.write_image(&[0, 55, 255], 3, 1, ExtendedColorType::L8).unwrap();
    let image = open(&bytes).unwrap();
    // 55/255 of the light is 0.502 of the signal.
    assert_eq!((pixels(&image), image.notes().len()), (vec![[0; 3], [128; 3], [255; 3]], 0));
    // A broken one, and one for other channels, are no reason to refuse a picture.
    let grey = moxcms::ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
    for profile in [b"no profile".to_vec(), grey] {
        let image = with_profile(&rgb, profile);
        assert_eq!(distance(&image), 0);
        assert!(matches!(image.notes(), [note] if note.contains("profile")), "{:?}", image.notes());
    }
}

#[test]
fn odd_and_long_pictures_cover_any_frame() {
    for (width, height) in [(1, 1), (1, 7), (3, 2), (100_000, 1), (2, 70_000), (641, 359)] {
        let bytes =
            written(RgbImage::from_pixel(width, height, image::Rgb([51, 102, 204])), ImageFormat::Png);
        let values = open(&bytes).unwrap().fit(96, 64);
        for (c, byte) in [51.0, 102.0, 204.0].into_iter().enumerate() {
            let plane = &values[c * 96 * 64..][..96 * 64];
            assert!(plane.iter().all(|x| (x - (byte / 127.5 - 1.0)).abs() < 1e-6), "{width}x{height}");
        }
    }
}

#[test]
fn compression_loses_more_the_higher_the_crf() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    let noisy = RgbImage::from_fn(201, 133, |x, y| {
        let noise = (x * 7919 + y * 104_729) % 64;
        image::Rgb([(x + noise / 2) as u8, (y + noise) as u8, (100 + noise) as u8])
    });
    noisy.save(&path).unwrap();
    let plain = Image::open(&path, 0).unwrap();
    assert_eq!(plain.size(), (201, 133));
    let loss = |crf: u8| {
        let image = Image::open(&path, crf).unwrap();
        // Without the last odd column and row.
        assert_eq!(image.size(), (200, 132));
        assert_eq!(image, Image::open(&path, crf).unwrap(), "the same bits each time");
        let (have, want) = (pixels(&image), pixels(&plain));
        let square = |i: usize| {
            let (have, want) = (have[i], want[i / 200 * 201 + i % 200]);
            (0..3).map(|c| (f64::from(have[c]) - f64::from(want[c])).powi(2)).sum::<f64>() / 3.0
        };
        ((0..200 * 132).map(square).sum::<f64>() / (200.0 * 132.0)).sqrt()
    };
    let losses = [18, DEFAULT_CRF, MAX_CRF].map(loss);
    assert!(losses[0] < losses[1] && losses[1] < losses[2], "{losses:?}");
    assert!(losses[0] > 0.5 && losses[1] < 25.0, "{losses:?}");
}

/// Smaller than what the encoder takes, and larger: by tiles.
#[test]
fn pictures_of_any_size_are_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    for (width, height) in [(2, 2), (3, 40), (4000, 34), (18, 2300), (1, 50)] {
        gradient(width, height).save(&path).unwrap();
        let image = Image::open(&path, DEFAULT_CRF).unwrap();
        let even = |side: u32| if width.min(height) < 2 { side } else { side / 2 * 2 } as usize;
        assert_eq!(image.size(), (even(width), even(height)));
        // Every tile is in its place.
        let (have, want) = (pixels(&image), gradient(image.size().0 as u32, image.size().1 as u32));
        let apart: f64 =
            have.iter().flatten().zip(want.iter()).map(|(have, want)| f64::from(have.abs_diff(*want))).sum();
        let mean = apart / want.len() as f64;
        assert!(width < 100 && height < 100 || mean < 10.0, "{width}x{height}: {mean}");
    }
}

#[test]
fn what_is_no_picture_is_refused_in_words() {
    let refused = |bytes: &[u8], words: &str| {
        let said = open(bytes).unwrap_err();
        assert!(said.contains(words), "{said}, {words} wanted");
    };
    refused(b"", "is an empty file");
    refused(b"a text", "want  PNG, JPEG or WebP");
    refused(b"GIF89a\x01\0\x01\0", "have  GIF");
    refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "have  HEIC");
    refused(&std::fs::read(fixture("images/cmyk.jpg")).unwrap(), "have  CMYK");
    // Arithmetic coding, which no camera has.
    let mut rare = written(gradient(16, 16), ImageFormat::Jpeg);
    let frame = rare.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    rare[frame + 1] = 0xc9;
    refused(&rare, "is of a kind that cannot be read");
    // A few bytes, of a picture that nobody has the memory for.
    let mut huge = Vec::new();
    let mut encoder = png::Encoder::new(&mut huge, 300_000, 300_000);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_chunk(png::chunk::IDAT, b"x\x9c").unwrap();
    refused(&huge, "have  300000x300000");
    let missing = Image::open(Path::new("no/such.png"), 0).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read image no/such.png: "), "{missing}");
    assert!(Image::open(Path::new(env!("CARGO_MANIFEST_DIR")), 0).is_err(), "a folder");
}

#[test]
fn truncated_and_damaged_pictures_are_refused_or_read() {
    let rgb = gradient(40, 30);
    let mut files =
        [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Jpeg].map(|f| written(rgb.clone(), f)).to_vec();
    files.extend(["images/progressive.jpg", "images/lossy.webp"].map(|f| std::fs::read(fixture(f)).unwrap()));
    for file in files {
        let (whole, kind) = (file.len(), image::guess_format(&file).unwrap());
        // Behind the pixels a PNG has 12 bytes that hold nothing, and a WebP may have one.
        let filling = match kind {
            ImageFormat::Png => 12,
            ImageFormat::WebP => 1,
            _ => 0,
        };
        let end = whole - filling;
        for length in (0..end).step_by(13).chain([end - 1]) {
            let read = open(&file[..length]);
            assert!(read.is_err(), "{kind:?}: {length} of {whole} bytes are read");
        }
        for at in (0..whole).step_by(11) {
            let mut changed = file.clone();
            changed[at] ^= 0x55;
            // Whatever it is: no panic, and a picture of its size.
            if let Ok(image) = open(&changed) {
                assert!(image.fit(32, 32).iter().all(|x| x.is_finite()));
            }
        }
    }
}
