//! Reading and writing files.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;

use sprat_merge::{
    Dtype, Error, ModelFolder, SafetensorsReader, SafetensorsWriter, TensorReader, write_file,
};

type Tensor<'a> = (&'a str, &'a [usize], &'a [f32]);

fn bytes(tensors: &[Tensor<'_>], dtype: Dtype) -> Vec<u8> {
    let list = tensors.iter().map(|(name, shape, _)| (*name, *shape));
    let mut writer = SafetensorsWriter::new(Vec::new(), list, dtype).unwrap();
    for (name, _, values) in tensors {
        writer.write(name, values).unwrap();
    }
    writer.finish().unwrap()
}

const A: Tensor<'_> = ("a", &[2, 2], &[1.0, -2.5, 0.0, 65504.0]);
const B: Tensor<'_> = ("b", &[1], &[0.125]);

#[test]
fn what_is_written_is_read_back() {
    for dtype in Dtype::ALL {
        let bytes = bytes(&[B, A], dtype);
        // The reference implementation agrees that it is valid, and values are aligned.
        let view = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(view.len(), 2);
        assert_eq!((bytes.len() - 5 * dtype.bytes()) % 8, 0);
        let mut reader = SafetensorsReader::from_bytes(bytes, "test").unwrap();
        assert_eq!(reader.names(), ["b", "a"]);
        assert_eq!(reader.shape("a"), Some(vec![2, 2]));
        let mut expected = A.2.to_vec();
        if dtype == Dtype::BFloat16 {
            expected[3] = 65536.0; // 8 bits of precision
        }
        assert_eq!(reader.read("a").unwrap(), expected);
        assert_eq!(reader.read("b").unwrap(), B.2);
        assert!(reader.read("c").is_err());
    }
}

#[test]
fn a_writer_wants_the_tensors_that_were_announced() {
    let new = || SafetensorsWriter::new(Vec::new(), [(A.0, A.1)], Dtype::Float16).unwrap();
    assert!(new().write("b", A.2).is_err());
    assert!(new().write("a", &[1.0]).is_err());
    assert!(new().finish().is_err());
    let error = new()
        .write("a", &[0.0, 0.0, 70000.0, 0.0])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`a` gives 70000 at element 2, which float16"),
        "{error}"
    );
}

#[test]
fn a_cut_off_file_is_an_error() {
    let bytes = bytes(&[A, B], Dtype::Float32);
    for length in 0..bytes.len() {
        let error = SafetensorsReader::from_bytes(bytes[..length].to_vec(), "cut").unwrap_err();
        assert!(error.to_string().contains("cut"), "{error}");
    }
}

#[test]
fn other_types_are_named() {
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::I8, vec![2], &[1, 2]).unwrap();
    let bytes = safetensors::serialize([("q", view)], None).unwrap();
    let error = SafetensorsReader::from_bytes(bytes, "pack")
        .unwrap()
        .read("q")
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tensor `q` of pack: it is stored as I8"),
        "{error}"
    );
}

fn put(folder: &Path, file: &str, tensors: &[Tensor<'_>]) {
    fs::write(folder.join(file), bytes(tensors, Dtype::Float32)).unwrap();
}

#[test]
fn shards_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "one.safetensors", &[A]);
    put(folder.path(), "two.safetensors", &[B]);
    let mut model = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(model.names(), ["a", "b"]);
    assert_eq!(model.read("b").unwrap(), B.2);

    // With an index, only its files count.
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, r#"{"weight_map": {"b": "two.safetensors"}}"#).unwrap();
    let model = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(
        (model.names(), model.shape("a")),
        (vec!["b".to_owned()], None)
    );

    let single = ModelFolder::open(&folder.path().join("one.safetensors")).unwrap();
    assert_eq!(single.names(), ["a"]);
}

/// A pack's weights are floats, of twice as many columns as bytes with 4 bits; its scales are no tensors of
/// their own, and its draft model is another model.
#[test]
fn blocks_of_a_pack_are_floats() {
    use safetensors::tensor::{Dtype, TensorView};
    let folder = tempfile::tempdir().unwrap();
    let one = half::f16::ONE.to_le_bytes();
    let (eights, fours) = ([3u8; 32], [0x5cu8; 16]);
    let view =
        |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let write = |file: &str, tensors: Vec<(&str, TensorView<'_>)>| {
        let bytes = safetensors::serialize(tensors, None).unwrap();
        fs::write(folder.path().join(file), bytes).unwrap();
    };
    write(
        "model-1.safetensors",
        vec![
            ("w", view(Dtype::I8, &[1, 32], &eights)),
            ("v", view(Dtype::U8, &[1, 16], &fours)),
            ("v.scale", view(Dtype::F16, &[1, 1], &one)),
            ("other.scale", view(Dtype::F16, &[1], &one)),
        ],
    );
    write(
        "model-2.safetensors",
        vec![("w.scale", view(Dtype::F16, &[1, 1], &one))],
    );
    write(
        "draft-model.safetensors",
        vec![("w", view(Dtype::F16, &[1], &one))],
    );
    let mut model = ModelFolder::open(folder.path()).unwrap();
    let mut names = model.names();
    names.sort();
    assert_eq!(names, ["other.scale", "v", "w"]);
    assert_eq!(model.shape("w"), Some(vec![1, 32]));
    assert_eq!(model.shape("v"), Some(vec![1, 32]));
    assert_eq!(model.read("w").unwrap(), [3.0; 32]);
    let v = model.read("v").unwrap();
    assert_eq!((v[0], v[16]), (4.0, -3.0));
    // Scales that are too few are told.
    write(
        "model-2.safetensors",
        vec![("w.scale", view(Dtype::F16, &[0], &[]))],
    );
    let error = ModelFolder::open(folder.path())
        .unwrap()
        .read("w")
        .unwrap_err();
    assert!(
        error.to_string().contains("0 scales don't fit 32 bytes"),
        "{error}"
    );
}

#[test]
fn folders_that_are_not_models_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let fails = || ModelFolder::open(folder.path()).unwrap_err().to_string();
    assert!(fails().contains("no .safetensors file"));
    assert!(ModelFolder::open(&folder.path().join("nowhere")).is_err());
    let index = folder.path().join("model.safetensors.index.json");
    for (text, part) in [
        ("{", "index.json"),
        (
            r#"{"weight_map": {"a": "../a.safetensors"}}"#,
            "not a file beside it",
        ),
        (
            r#"{"weight_map": {"a": "/etc/passwd"}}"#,
            "not a file beside it",
        ),
        (
            r#"{"weight_map": {"a": "lost.safetensors"}}"#,
            "lost.safetensors",
        ),
        (
            r#"{"weight_map": {"a": "two.safetensors"}}"#,
            "`a` is in none of the shards",
        ),
    ] {
        put(folder.path(), "two.safetensors", &[B]);
        fs::write(&index, text).unwrap();
        let error = fails();
        assert!(error.contains(part), "{error}");
    }
    fs::remove_file(index).unwrap();
    put(folder.path(), "three.safetensors", &[A, B]);
    assert!(fails().contains("`b` is in another shard too"));
}

#[test]
fn a_file_appears_only_when_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let list = || [(A.0, A.1)];
    let refused = write_file(&path, list(), Dtype::Float32, |_| {
        Err(Error::sink("a", "no"))
    });
    assert!(refused.is_err());
    assert!(write_file(&path, list(), Dtype::Float32, |_| Ok(())).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    write_file(&path, list(), Dtype::Float32, |writer| {
        writer.write(A.0, A.2)
    })
    .unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(
        SafetensorsReader::open(&path).unwrap().read("a").unwrap(),
        A.2
    );
}

#[test]
fn a_file_cut_off_anywhere_is_gone_on_with() {
    let whole = bytes(&[B, A], Dtype::Float16);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let header = whole.len() - 10;
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let list = [(B.0, B.1), (A.0, A.1)];
        let (mut writer, done) = SafetensorsWriter::resume(file, list, Dtype::Float16).unwrap();
        let expected = match length {
            _ if length == whole.len() => 2,
            _ if length >= header + 2 => 1,
            _ => 0,
        };
        assert_eq!(done, expected, "{length}");
        for (name, _, values) in [B, A].iter().skip(done) {
            writer.write(name, values).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "{length}");
    }
    // Other tensors, or another type, begin anew.
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let (_, done) = SafetensorsWriter::resume(file, [(A.0, A.1)], Dtype::Float16).unwrap();
    assert_eq!(done, 0);
}
