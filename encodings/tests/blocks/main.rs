//! Every encoding against values that other programs computed (tests/fixtures/encodings).

mod formulas;

use safetensors::SafeTensors;
use zoetrope_encodings::{Blocks, Code, Encoding, GgufBlock, Kept, Matrix, Number, ROW_ALIGN};
use zoetrope_encodings::{e2m1, e4m3, e5m2, e8m0, rotate, tile_place, tiled};

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/encodings/");
    std::fs::read([folder, name].concat()).unwrap()
}

fn with(check: impl FnOnce(&SafeTensors<'_>, &dyn Fn(&str) -> Vec<usize>)) {
    let bytes = fixture("blocks.safetensors");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let rows = |size: &str| {
        let text = &metadata.metadata().as_ref().unwrap()[&format!("rows.{size}")];
        text.trim_matches(['[', ']']).split(", ").map(|number| number.parse().unwrap()).collect()
    };
    check(&SafeTensors::deserialize(&bytes).unwrap(), &rows);
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn same(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let equal = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(equal, "{name}: element {i} is {got}, {want} wanted");
    }
}

fn decoded(matrix: &Matrix<'_>) -> Vec<f32> {
    let mut out = vec![0.0; matrix.rows() * matrix.columns()];
    matrix.decode(0, &mut out);
    out
}

#[test]
fn numbers() {
    with(|file, _| {
        for (name, number) in
            [("e4m3", e4m3 as fn(u8) -> f32), ("e5m2", e5m2), ("e2m1", e2m1), ("e8m0", e8m0)]
        {
            let want = floats(file.tensor(&format!("table.{name}")).unwrap().data());
            // Codes of numbers that are not finite are marked; their value in the table is 0.
            let finite = file.tensor(&format!("table.{name}.finite"));
            let marked = |code: usize| finite.as_ref().is_ok_and(|f| f.data()[code] == 0);
            for (code, want) in want.iter().enumerate() {
                let got = number(code as u8);
                match marked(code) {
                    true => assert!(!got.is_finite(), "{name}: {code:#x} is {got}"),
                    false => same(name, &[got], &[*want]),
                }
            }
        }
        assert!(e8m0(255).is_nan());
        // Every f16 has the value that another crate gives it.
        let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let matrix = Matrix::new(Encoding::Plain(Number::F16), [256, 256], &halves, &[], 1.0).unwrap();
        let want: Vec<f32> = (0..=u16::MAX).map(|bits| half::f16::from_bits(bits).to_f32()).collect();
        same("f16", &decoded(&matrix), &want);
        let all: Vec<u8> = (0..=255).collect();
        for (number, value) in [(Number::E4m3, e4m3 as fn(u8) -> f32), (Number::E5m2, e5m2)] {
            let matrix = Matrix::new(Encoding::Plain(number), [16, 16], &all, &[], 1.0).unwrap();
            same(number.name(), &decoded(&matrix), &all.iter().map(|b| value(*b)).collect::<Vec<_>>());
        }
    });
}

#[test]
fn blocks_of_gguf() {
    with(|file, _| {
        for &block in GgufBlock::ALL {
            let tensor = |what| file.tensor(&format!("gguf.{}.{what}", block.name())).unwrap();
            let (raw, values) = (tensor("raw"), tensor("values"));
            let shape = [raw.shape()[0], block.elements()];
            let matrix = Matrix::new(Encoding::Gguf(block), shape, raw.data(), &[], 1.0).unwrap();
            same(block.name(), &decoded(&matrix), &floats(values.data()));
            assert_eq!(GgufBlock::from_id(block.id()), Some(block));
        }
    });
}

#[test]
fn scales_in_tiles() {
    with(|file, rows| {
        let (plain, wanted) = (file.tensor("tiles.plain").unwrap(), file.tensor("tiles.tiled").unwrap());
        let [r, c] = [plain.shape()[0], plain.shape()[1]];
        assert_eq!(tiled(r, c).unwrap(), wanted.shape());
        for (i, scale) in plain.data().iter().enumerate() {
            assert_eq!(wanted.data()[tile_place(i / c, i % c, c)], *scale, "{i}");
        }
        for (kind, encoding, elements) in [("mxfp8", Encoding::Mxfp8, 1), ("nvfp4", Encoding::Nvfp4, 2)] {
            for size in ["144x96", "48x320"] {
                let tensor = |what| file.tensor(&format!("{kind}.{size}.{what}"));
                let (codes, scales) = (tensor("weight").unwrap(), tensor("weight_scale").unwrap());
                let scale = tensor("weight_scale_2").map_or(1.0, |scale| floats(scale.data())[0]);
                let shape = [codes.shape()[0], codes.shape()[1] * elements];
                let matrix = Matrix::new(encoding, shape, codes.data(), scales.data(), scale).unwrap();
                let all = decoded(&matrix);
                let row = |r: &usize| all[r * shape[1]..(r + 1) * shape[1]].to_vec();
                let got: Vec<f32> = rows(size).iter().flat_map(row).collect();
                same(&format!("{kind} {size}"), &got, &floats(tensor("values").unwrap().data()));
                assert!(Matrix::new(encoding, shape, codes.data(), &scales.data()[1..], scale).is_none());
            }
        }
    });
}

#[test]
fn rotated_rows_are_turned_back() {
    with(|file, _| {
        for group in [4, 16, 64, 256] {
            let tensor = |what| file.tensor(&format!("convrot.{group}.{what}")).unwrap();
            let shape = [tensor("weight").shape()[0], tensor("weight").shape()[1]];
            let codes: Vec<u8> = tensor("weight").data().iter().step_by(4).copied().collect();
            let encoding = Encoding::Rotated { blocks: Blocks::Row, group };
            let matrix = Matrix::new(encoding, shape, &codes, tensor("weight_scale").data(), 1.0).unwrap();
            let (got, want) = (decoded(&matrix), floats(tensor("values").data()));
            let sum =
                |of: &dyn Fn(usize) -> f32| (0..want.len()).map(|i| f64::from(of(i)).powi(2)).sum::<f64>();
            let (off, all) = (sum(&|i| got[i] - want[i]), sum(&|i| want[i]));
            assert!((off / all).sqrt() < 1e-6, "{group}: {}", (off / all).sqrt());
            let mut twice = want[..group].to_vec();
            rotate(&mut twice);
            assert!((twice[0] - want[0]).abs() > 1e-6, "rotated {group}");
        }
    });
}

/// The result of one layer, made of what its weights and its rounded inputs mean: codes, scales and their places are read as
/// those read them who multiply them.
#[test]
fn a_product_of_codes_is_that_of_their_values() {
    let bytes = fixture("linear.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let rotated = Encoding::Rotated { blocks: Blocks::Row, group: 256 };
    let row = |code| Encoding::Scaled { code, blocks: Blocks::Row };
    let whole = Encoding::Scaled { code: Code::E4m3, blocks: Blocks::Tensor };
    for (rule, encoding) in [
        ("fp8-static", whole),
        ("fp8-scale-one", whole),
        ("int8-row", row(Code::I8)),
        ("int8-convrot", rotated),
        ("mxfp8", Encoding::Mxfp8),
        ("nvfp4-static", Encoding::Nvfp4),
        ("nvfp4-dynamic", Encoding::Nvfp4),
    ] {
        let part = |what: &str| file.tensor(&format!("{rule}.{what}")).ok();
        let data = |what: &str| part(what).map_or(Vec::new(), |tensor| tensor.data().to_vec());
        let scalar = |what: &str| part(what).map_or(1.0, |tensor| floats(tensor.data())[0]);
        let y = part("y").unwrap();
        let ([rows, outputs], inputs) = ([y.shape()[0], y.shape()[1]], 512);
        let (weight, weight_scales) = (data("weight"), data("weight_scale"));
        let w = Matrix::new(encoding, [outputs, inputs], &weight, &weight_scales, scalar("weight_scale_2"));
        // int8 codes are stored as I32, and scales of inputs are in no tiles.
        let codes = data("x.codes");
        let codes =
            if codes.len() == 4 * rows * inputs { codes.into_iter().step_by(4).collect() } else { codes };
        let scales = match encoding {
            Encoding::Mxfp8 | Encoding::Nvfp4 => {
                let (plain, columns) = (data("x.scales"), part("x.scales").unwrap().shape()[1]);
                let [r, c] = tiled(rows, columns).unwrap();
                let mut tiles = vec![0; r * c];
                for (i, scale) in plain.iter().enumerate() {
                    tiles[tile_place(i / columns, i % columns, columns)] = *scale;
                }
                tiles
            }
            _ if encoding == whole => scalar("input_scale").to_le_bytes().to_vec(),
            _ => data("x.scales"),
        };
        let x = Matrix::new(encoding, [rows, inputs], &codes, &scales, scalar("x.tensor_scale"));
        let (w, x) = (decoded(&w.unwrap()), decoded(&x.unwrap()));
        let bias: Vec<f32> = data("bias")
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())
            .collect();
        let (mut off, mut all) = (0.0, 0.0);
        for (i, want) in floats(y.data()).iter().enumerate() {
            let (row, column) = (i / outputs, i % outputs);
            let pairs = x[row * inputs..][..inputs].iter().zip(&w[column * inputs..][..inputs]);
            let sum: f64 = pairs.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            off += (sum + f64::from(bias[column]) - f64::from(*want)).powi(2);
            all += f64::from(*want).powi(2);
        }
        assert!((off / all).sqrt() < 1e-5, "{rule}: {:.1e}", (off / all).sqrt());
    }
}

/// Small integers and powers of two, whose products are exact: what a scale belongs to.
#[test]
fn scales_of_tensors_rows_and_blocks() {
    let codes: Vec<u8> = (0..6 * 10).collect();
    let scales: Vec<f32> = (0..12).map(|i| (1 << i) as f32).collect();
    let bytes: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    let check = |blocks: Blocks, count: usize, place: &dyn Fn(usize, usize) -> usize| {
        let scaled = Encoding::Scaled { code: Code::I8, blocks };
        let matrix = Matrix::new(scaled, [6, 10], &codes, &bytes[..4 * count], 1.0).unwrap();
        let want: Vec<f32> = (0..60).map(|i| i as f32 * scales[place(i / 10, i % 10)]).collect();
        same(&scaled.to_string(), &decoded(&matrix), &want);
    };
    check(Blocks::Tensor, 1, &|_, _| 0);
    check(Blocks::Row, 6, &|row, _| row);
    check(Blocks::Of { rows: 2, columns: 3 }, 12, &|row, column| row / 2 * 4 + column / 3);
}

/// Bits do not depend on what else is asked for.
#[test]
fn any_range_gives_the_same_bits() {
    let bytes: Vec<u8> = (0..4096usize).map(|i| (i * i + 7 * i) as u8 & 0x77).collect();
    let mut encodings = vec![
        Encoding::Plain(Number::F16),
        Encoding::Scaled { code: Code::E4m3, blocks: Blocks::Of { rows: 1, columns: 24 } },
        Encoding::Rotated { blocks: Blocks::Tensor, group: 16 },
        Encoding::Mxfp8,
        Encoding::Nvfp4,
    ];
    encodings.extend(GgufBlock::ALL.iter().map(|block| Encoding::Gguf(*block)));
    for encoding in encodings {
        let shape = [2, 256];
        let [codes, scales] = [encoding.code_bytes(2, 256), encoding.scale_bytes(2, 256)];
        let matrix =
            Matrix::new(encoding, shape, &bytes[..codes.unwrap()], &bytes[..scales.unwrap()], 0.5).unwrap();
        let all = decoded(&matrix);
        for (first, length) in [(0, 1), (5, 11), (31, 2), (16, 48), (250, 20), (255, 257), (511, 1)] {
            let mut out = vec![0.0; length];
            matrix.decode(first, &mut out);
            same(&encoding.to_string(), &out, &all[first..first + length]);
        }
    }
}

/// Rows of bytes that a card keeps are the matrix they were taken from, and what is encoded lies as near as its codes can.
#[test]
fn rows_that_are_kept() {
    let columns = 512;
    let values: Vec<f32> = (0..3 * columns).map(|i| ((i * 7919 % 1013) as f32 - 500.0) / 3000.0).collect();
    for kept in Kept::ALL {
        assert_eq!(Kept::from_name(kept.name()), Some(kept));
        let bytes = kept.row_bytes(columns).unwrap();
        assert!(bytes.is_multiple_of(ROW_ALIGN) && kept.row_bytes(columns + 8).is_none());
        for values in values.chunks(columns) {
            let (mut row, mut back) = (vec![0xff; bytes], vec![0.0; columns]);
            kept.encode(values, &mut row);
            assert!(kept.is_finite(&row, columns));
            kept.decode(&row, &mut back);
            // Half a step of the codes: of 3 bits behind the point, of 254 (whose scale is an f16) and of 15 steps between the
            // extremes; scales of
            // Q4_K and minima have 6 bits.
            let (of_value, of_all) =
                [(1.0 / 15.9, 1e-4), (0.0, 0.5 / 127.0 + 1.0 / 2048.0), (0.0, 0.54 / 7.5 + 0.5 / 63.0)]
                    [kept as usize];
            let most = values.iter().fold(0f32, |most, value| most.max(value.abs()));
            for (i, (value, back)) in values.iter().zip(&back).enumerate() {
                let near = (value - back).abs() <= of_value * value.abs() + of_all * most;
                assert!(near, "{kept} {i}: {back} for {value}");
            }
        }
    }
    // Files' own blocks, taken as they are.
    with(|file, _| {
        for (kept, block) in [(Kept::Q8_0, GgufBlock::Q8_0), (Kept::Q4_K, GgufBlock::Q4_K)] {
            let tensor = |what| file.tensor(&format!("gguf.{}.{what}", block.name())).unwrap();
            let (raw, want) = (tensor("raw"), floats(tensor("values").data()));
            let matrix = Matrix::new(Encoding::Gguf(block), [1, want.len()], raw.data(), &[], 1.0).unwrap();
            let columns = 2 * block.elements();
            let mut row = vec![0; kept.row_bytes(columns).unwrap()];
            for (number, want) in want.chunks_exact(columns).enumerate() {
                assert!(kept.take(&matrix, number * columns, columns, &mut row));
                let mut back = vec![0.0; columns];
                kept.decode(&row, &mut back);
                same(kept.name(), &back, want);
            }
            assert!(!Kept::Fp8.take(&matrix, 0, 32, &mut [0; 48]));
        }
    });
    let codes: Vec<u8> = (0..64).collect();
    let scales: Vec<u8> = [0.5f32, 3.0].iter().flat_map(|scale| scale.to_le_bytes()).collect();
    for (blocks, scales, taken) in [
        (Blocks::Row, &scales[..], true),
        (Blocks::Tensor, &scales[..4], true),
        (Blocks::Of { rows: 2, columns: 16 }, &scales[..], false),
    ] {
        let matrix = Matrix::new(Encoding::Scaled { code: Code::E4m3, blocks }, [2, 32], &codes, scales, 1.0);
        let (matrix, mut row, mut back) = (matrix.unwrap(), vec![0; 48], vec![0.0; 32]);
        assert_eq!(Kept::Fp8.take(&matrix, 32, 32, &mut row), taken);
        if taken {
            Kept::Fp8.decode(&row, &mut back);
            same(&blocks.to_string(), &back, &decoded(&matrix)[32..]);
        }
    }
}

/// The code of a number is that of the nearest value, and of two the even one.
#[test]
fn fp8_rounds_to_the_nearest_code() {
    let columns = 16;
    let mut row = vec![0; Kept::Fp8.row_bytes(columns).unwrap()];
    // The largest number makes the scale 1.
    let mut code_of = |value: f32| {
        let mut values = [0.0; 16];
        (values[0], values[1]) = (448.0, value);
        Kept::Fp8.encode(&values, &mut row);
        row[1]
    };
    for code in 0..0x7e_u8 {
        let (here, next) = (e4m3(code), e4m3(code + 1));
        let middle = (here + next) / 2.0;
        assert_eq!(code_of(here), code);
        assert_eq!(code_of(-here), code | 0x80);
        assert_eq!(code_of(middle.next_down()), code);
        assert_eq!(code_of(middle), code + (code & 1));
        assert_eq!(code_of(middle.next_up()), code + 1);
    }
}

#[test]
fn q8_0_rounds_halves_away_from_zero() {
    for eighths in -1012i16..=1012 {
        let value = f32::from(eighths) / 8.0;
        for value in [value.next_down(), value, value.next_up()] {
            // The largest number makes the scale 1.
            let (mut values, mut row) = ([0.0; 32], vec![0; Kept::Q8_0.row_bytes(32).unwrap()]);
            (values[0], values[1]) = (127.0, value);
            Kept::Q8_0.encode(&values, &mut row);
            assert_eq!(f32::from(row[1] as i8), value.round(), "{value}");
        }
    }
}

/// As the format's own program rounds: a block of ours that it made is made again.
#[test]
fn q8_0_is_made_as_its_makers_make_it() {
    with(|file, _| {
        let tensor = |what| file.tensor(&format!("gguf.Q8_0.{what}")).unwrap();
        let (raw, values) = (tensor("raw"), floats(tensor("values").data()));
        let mut again = 0;
        for (block, values) in raw.data().as_chunks::<34>().0.iter().zip(values.as_chunks::<32>().0) {
            let largest = block[2..].iter().map(|code| (*code as i8).unsigned_abs()).max();
            // Blocks that no encoder makes: a negative scale, or one whose largest code is not 127.
            if largest != Some(127) || block[1] & 0x80 != 0 || block[1] & 0x7c == 0 {
                continue;
            }
            let mut row = vec![0; Kept::Q8_0.row_bytes(32).unwrap()];
            Kept::Q8_0.encode(values, &mut row);
            assert_eq!((&row[..32], &row[32..34]), (&block[2..], &block[..2]));
            again += 1;
        }
        assert!(again > 0, "no block that an encoder makes");
    });
}
