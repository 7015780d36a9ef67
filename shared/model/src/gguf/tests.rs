//! Valid files, against the `gguf` package's values and against what was written.

mod hostile;
mod writer;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::quants::decode;
use super::{Gguf, GgufError, Kind, Metadata, Value};
use writer::{ARRAY, STRING, Writer, array, string};

fn open(bytes: &[u8]) -> Result<Gguf<Cursor<&[u8]>>, GgufError> {
    Gguf::open(Cursor::new(bytes))
}

/// Opens a file and reads all of it: what must never panic.
fn read_all(bytes: &[u8]) -> Result<(), GgufError> {
    let mut file = open(bytes)?;
    for tensor in file.tensors().to_vec() {
        assert_eq!(file.read_f32(&tensor.name)?.len(), tensor.elements());
    }
    Ok(())
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/goldens/gguf"
    ))
    .join(name)
}

#[test]
fn bytes_are_those_of_the_file() {
    let data: Vec<u8> = (0..2 * 3 * 34).collect();
    let file = Writer::new().tensor("stack", &[32, 2, 3], Kind::Q8_0, &data);
    let file = file.build();
    let mut file = open(&file).unwrap();
    assert_eq!(file.read_bytes("stack", None).unwrap(), data);
    for slice in 0..3 {
        let bytes = file.read_bytes("stack", Some(slice)).unwrap();
        assert_eq!(bytes, data[slice * 68..][..68]);
        let mut values = Vec::new();
        decode(Kind::Q8_0, &bytes, &mut values);
        let expected = file.read_slice_f32("stack", slice).unwrap();
        assert_eq!(bits(&values), bits(&expected));
    }
    for (name, slice) in [("stack", Some(3)), ("other", None)] {
        let error = file.read_bytes(name, slice).unwrap_err();
        assert!(matches!(error, GgufError::TensorMissing { .. }));
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_kind_decodes_to_the_bits_of_the_python_package() {
    let mut file = Gguf::open(std::fs::File::open(golden("kinds.gguf")).unwrap()).unwrap();
    let bytes = std::fs::read(golden("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensors().len(), Kind::ALL.len());
    for kind in Kind::ALL {
        let view = expected.tensor(kind.name()).unwrap();
        let words = view.data().chunks_exact(4);
        let words: Vec<u32> = words
            .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let info = file.tensor(kind.name()).unwrap();
        assert_eq!((info.kind, &info.shape[..]), (kind, view.shape()));
        let values = file.read_f32(kind.name()).unwrap();
        for (i, (value, word)) in values.iter().zip(&words).enumerate() {
            assert_eq!(value.to_bits(), *word, "{kind}, value {i}: {value}");
        }
        assert_eq!(values.len(), words.len());
    }
}

/// A slice is what it is in the whole; there is none past the end, nor of a vector.
#[test]
fn slices_are_parts_of_the_whole() {
    let path = golden("models/qwen3_moe.gguf");
    let mut file = Gguf::open(std::fs::File::open(path).unwrap()).unwrap();
    let name = "blk.1.ffn_gate_exps.weight";
    let (whole, count) = (
        file.read_f32(name).unwrap(),
        file.tensor(name).unwrap().shape[0],
    );
    let slices = (0..count).flat_map(|i| file.read_slice_f32(name, i).unwrap());
    assert_eq!(slices.collect::<Vec<f32>>(), whole);
    for (name, slice) in [(name, count), ("blk.1.attn_norm.weight", 0)] {
        let error = file.read_slice_f32(name, slice).unwrap_err();
        assert!(matches!(error, GgufError::TensorMissing { .. }), "{error}");
    }
}

#[test]
fn a_complete_file_of_the_python_package_reads_back() {
    let mut file = Gguf::open(std::fs::File::open(golden("complete.gguf")).unwrap()).unwrap();
    assert_eq!(file.version(), 3);
    let metadata = file.metadata();
    assert_eq!(metadata.str("general.architecture").unwrap(), "llama");
    assert_eq!(metadata.u64("general.alignment").unwrap(), 64);
    assert_eq!(metadata.str("empty.STRING").unwrap(), "");
    let values = [
        ("UINT8", Value::U8(200)),
        ("INT8", Value::I8(-100)),
        ("UINT16", Value::U16(60_000)),
        ("INT16", Value::I16(-30_000)),
        ("UINT32", Value::U32(4_000_000_000)),
        ("INT32", Value::I32(-2_000_000_000)),
        ("UINT64", Value::U64(u64::MAX)),
        ("INT64", Value::I64(i64::MIN)),
        ("FLOAT32", Value::F32(1e-5)),
        ("FLOAT64", Value::F64(0.1)),
        ("BOOL", Value::Bool(true)),
        ("STRING", Value::String("grüße, 世界 🐟".to_owned())),
    ];
    for (name, value) in &values {
        assert_eq!(metadata.get(&format!("one.{name}")), Some(value));
        let two = Value::Array(vec![value.clone(), value.clone()]);
        assert_eq!(metadata.get(&format!("many.{name}")), Some(&two));
    }
    let ints = |values: &[i32]| Value::Array(values.iter().map(|&v| Value::I32(v)).collect());
    let nested = Value::Array(vec![ints(&[1, 2]), ints(&[3])]);
    assert_eq!(metadata.get("many.ARRAY"), Some(&nested));
    // Architecture, alignment, the empty string and the nested array besides.
    assert_eq!(metadata.iter().count(), 2 * values.len() + 4);

    let count = |n: u8| (0..n).map(f32::from).collect::<Vec<_>>();
    let tensors: [(&str, &[usize], Vec<f32>); 5] = [
        ("norm", &[3], count(3)),
        ("matrix", &[2, 3], count(6)),
        ("cube", &[2, 3, 4], count(24)),
        ("four", &[4, 3, 2, 1], count(24)),
        ("blocks", &[3, 32], count(32).repeat(3)),
    ];
    assert_eq!(file.tensors().len(), tensors.len());
    for (i, (name, shape, values)) in tensors.iter().enumerate() {
        let info = file.tensors()[i].clone();
        assert_eq!((info.name.as_str(), &info.shape[..]), (*name, *shape));
        assert!(info.offset.is_multiple_of(64), "{name} at {}", info.offset);
        assert_eq!(&file.read_f32(name).unwrap(), values);
    }
}

#[test]
fn getters_convert_and_say_what_they_found() {
    let file = Writer::new()
        .key(b"byte", 0, &[9])
        .key(b"negative", 11, &(-1i64).to_le_bytes())
        .key(b"positive", 11, &5i64.to_le_bytes())
        .key(b"eps", 6, &0.5f32.to_le_bytes())
        .key(b"yes", 7, &[1])
        .key(b"text", STRING, &string(b"hi"))
        .key(b"ints", ARRAY, &array(1, 2, &[1, 2]))
        .key(b"floats", ARRAY, &array(6, 1, &0.5f32.to_le_bytes()))
        .key(b"bools", ARRAY, &array(7, 2, &[1, 0]))
        .key(b"texts", ARRAY, &array(STRING, 1, &string(b"hi")))
        .key(b"none", ARRAY, &array(STRING, 0, &[]))
        .build();
    let file = open(&file).unwrap();
    let m = file.metadata();
    assert_eq!((m.u64("byte"), m.u64("positive")), (Ok(9), Ok(5)));
    assert_eq!(
        (m.f32("eps"), m.bool("yes"), m.str("text")),
        (Ok(0.5), Ok(true), Ok("hi"))
    );
    assert_eq!(
        (m.u64s("ints"), m.f32s("floats")),
        (Ok(vec![1, 2]), Ok(vec![0.5]))
    );
    assert_eq!(
        (m.bools("bools"), m.strings("texts")),
        (Ok(vec![true, false]), Ok(vec!["hi"]))
    );
    assert_eq!(
        (m.strings("none"), m.u64s("none")),
        (Ok(vec![]), Ok(vec![]))
    );

    assert_eq!(m.optional("byte", Metadata::u64), Ok(Some(9)));
    assert_eq!(m.optional("text", Metadata::str), Ok(Some("hi")));
    assert_eq!(m.optional("absent", Metadata::str), Ok(None));
    assert!(m.optional("byte", Metadata::str).is_err());

    let says = |error: GgufError, parts: &[&str]| {
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    says(m.u64("absent").unwrap_err(), &["\"absent\" is missing"]);
    says(
        m.u64("negative").unwrap_err(),
        &["\"negative\"", "at least 0", "i64 -1"],
    );
    says(m.u64("text").unwrap_err(), &["string of 2 bytes"]);
    says(m.f32("byte").unwrap_err(), &["an f32", "u8 9"]);
    says(
        m.strings("ints").unwrap_err(),
        &["strings", "array of 2 items", "i8 1"],
    );
    says(m.f32s("eps").unwrap_err(), &["array of f32", "f32 0.5"]);
}

#[test]
fn versions_2_and_3_are_read_and_all_others_refused_by_name() {
    let with = |version| {
        let mut writer = Writer::new();
        writer.version = version;
        open(&writer.build()).map(|file| file.version())
    };
    assert_eq!((with(2), with(3)), (Ok(2), Ok(3)));
    for version in [0, 1, 4, u32::MAX] {
        assert_eq!(with(version), Err(GgufError::Version { version }));
    }
    assert_eq!(with(3u32.swap_bytes()), Err(GgufError::BigEndian));
    let found = *b"lmgg";
    assert_eq!(
        open(b"lmgg\x03\0\0\0").unwrap_err(),
        GgufError::Magic { found }
    );
}

#[test]
fn tensors_longer_than_a_read_and_readers_that_give_little_work() {
    struct Slow<R>(R);
    impl<R: Read> Read for Slow<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let few = buffer.len().min(1000);
            self.0.read(&mut buffer[..few])
        }
    }
    impl<R: Seek> Seek for Slow<R> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut writer = Writer::new();
    let mut tensors = Vec::new();
    for kind in Kind::ALL {
        // 150 KB: two whole reads and a part of one.
        let blocks = 150_000 / kind.block_bytes();
        let data: Vec<u8> = (0..blocks * kind.block_bytes())
            .map(|i| (i * 7 % 59) as u8)
            .collect();
        let row = (blocks * kind.block_len()) as u64;
        writer = writer.tensor(kind.name(), &[row, 1], kind, &data);
        tensors.push((kind, data));
    }
    let file = writer.build();
    let mut file = Gguf::open(Slow(Cursor::new(&file))).unwrap();
    for (kind, data) in &tensors {
        let mut expected = Vec::new();
        decode(*kind, data, &mut expected);
        assert_eq!(
            expected.len(),
            data.len() / kind.block_bytes() * kind.block_len()
        );
        assert_eq!(
            bits(&file.read_f32(kind.name()).unwrap()),
            bits(&expected),
            "{kind}"
        );
    }
}

#[test]
fn kinds_are_numbered_uniquely_and_a_block_decodes_to_its_length() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_id(kind.id()), Some(kind));
        assert_eq!(super::quants::unread_name(kind.id()), "an unknown type");
        let mut out = Vec::new();
        decode(kind, &vec![0x11; kind.block_bytes()], &mut out);
        assert_eq!(out.len(), kind.block_len(), "{kind}");
    }
}

proptest! {
    /// Any shape and alignment: what was written is what is read.
    #[test]
    fn what_is_written_is_read(
        text in ".*",
        alignment in 0u32..8,
        shapes in prop::collection::vec(prop::collection::vec(1usize..6, 0..5), 0..6),
    ) {
        let mut writer = Writer::new().aligned(1 << alignment);
        writer = writer.key(text.as_bytes(), STRING, &string(text.as_bytes()));
        let mut expected = Vec::new();
        for (i, shape) in shapes.iter().enumerate() {
            let values: Vec<f32> = (0..shape.iter().product()).map(|n| n as f32 + 0.5).collect();
            let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let dims: Vec<u64> = shape.iter().rev().map(|&n| n as u64).collect();
            writer = writer.tensor(&i.to_string(), &dims, Kind::F32, &data);
            expected.push(values);
        }
        let file = writer.build();
        let mut file = open(&file).unwrap();
        prop_assert_eq!(file.metadata().str(&text), Ok(text.as_str()));
        prop_assert_eq!(file.tensors().len(), shapes.len());
        for (i, (shape, values)) in shapes.iter().zip(&expected).enumerate() {
            prop_assert_eq!(&file.tensors()[i].shape, shape);
            prop_assert_eq!(&file.read_f32(&i.to_string()).unwrap(), values);
        }
    }
}
