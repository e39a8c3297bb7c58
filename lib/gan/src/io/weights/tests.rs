use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pth").join(name)
}

const TENSORS: [(&str, &[usize]); 7] = [
    ("layer.weight", &[3, 4]),
    ("layer.turned", &[3, 2]),
    ("layer.half", &[6]),
    ("layer.bfloat", &[6]),
    ("layer.double", &[1, 2, 3]),
    ("layer.scalar", &[]),
    ("layer.parameter", &[3]),
];

fn error(bytes: &[u8]) -> String {
    let error = Tensors::from_bytes(Path::new("w.pth"), bytes.to_vec()).err().expect("an error").to_string();
    assert!(error.starts_with("w.pth: ") && !error.contains('\n'), "{error}");
    error
}

#[test]
fn every_container_gives_the_same_tensors() {
    let want = Tensors::read(&golden("small.safetensors")).unwrap();
    let turned = want.get("layer.turned", &[3, 2]).unwrap();
    assert_eq!(turned, [1.0, 1.75, 1.25, 2.0, 1.5, 2.25]);
    for file in ["small_zip.pth", "small_legacy.pth"] {
        let got = Tensors::read(&golden(file)).unwrap();
        assert_eq!(got.views.keys().collect::<Vec<_>>(), want.views.keys().collect::<Vec<_>>());
        for (name, shape) in TENSORS {
            assert_eq!(got.get(name, shape).unwrap(), want.get(name, shape).unwrap(), "{file}: {name}");
        }
    }
}

#[test]
fn wrong_tensors_are_named() {
    for file in ["small.safetensors", "small_zip.pth", "small_legacy.pth"] {
        let tensors = Tensors::read(&golden(file)).unwrap();
        let wrong = |name: &str, shape: &[usize], what: &str| {
            let error = tensors.get(name, shape).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(name) && error.contains(what), "{error}");
        };
        wrong("layer.bias", &[3], "no tensor");
        wrong("layer.weight", &[4, 3], "is [3, 4], expected [4, 3]");
        wrong("layer.num_batches_tracked", &[], "integers");
    }
}

#[test]
fn files_are_told_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let misnamed = folder.path().join("weights.safetensors");
    fs::copy(golden("small_legacy.pth"), &misnamed).unwrap();
    assert!(Tensors::read(&misnamed).is_ok());
    assert!(error(b"").contains("not a file of weights"));
    assert!(error(b"<!DOCTYPE html><html>").contains("not a file of weights"));
    assert!(Tensors::read(folder.path()).err().unwrap().to_string().contains("a folder"));
}

/// Whatever byte is missing or wrong, there is one line, and never a crash or a tensor of other values.
#[test]
fn damaged_files_are_errors() {
    for file in ["small.safetensors", "small_zip.pth", "small_legacy.pth"] {
        let whole = fs::read(golden(file)).unwrap();
        for cut in (0..whole.len()).step_by(7) {
            error(&whole[..cut]);
        }
        for at in 0..whole.len().min(4000) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Ok(tensors) = Tensors::from_bytes(Path::new("w.pth"), bytes) {
                    for (name, shape) in TENSORS {
                        if let Ok(values) = tensors.get(name, shape) {
                            assert_eq!(values.len(), shape.iter().product::<usize>());
                        }
                    }
                }
            }
        }
    }
}

/// A file of the older container around one object pickle.
fn legacy(object: &[u8]) -> Vec<u8> {
    let whole = fs::read(golden("small_legacy.pth")).unwrap();
    // Magic, version and system end where the object's own protocol byte is, the fourth.
    let starts: Vec<usize> = (0..whole.len()).filter(|&i| whole[i..].starts_with(b"\x80\x02")).collect();
    [&whole[..starts[3]], object].concat()
}

#[test]
fn a_pickle_that_would_run_something_is_refused() {
    for (object, named) in [
        (&b"cos\nsystem\nX\x04\x00\x00\x00true\x85R."[..], "os.system"),
        (b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "builtins.eval"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"(ios\nsystem\n.", "os.system"),
        (b"K\x01)R.", "calls no function"),
        (b"ccollections\nOrderedDict\nK\x01\x85R.", "in an unknown way"),
    ] {
        let error = error(&legacy(object));
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_pickle_that_nests_deep_or_is_empty_is_an_error() {
    let deep = |depth: usize| [&vec![b')'; 1][..], &vec![0x85; depth], b"."].concat();
    assert!(error(&legacy(&deep(1 << 20))).contains("cut short"));
    assert!(error(&legacy(&deep(4 << 20))).contains("too large"));
    for object in
        [&b"."[..], b"0.", b"(.", b"t.", b"(0.", b"h\x07.", b"}(K\x01u.", b"\x8a\xff", b"X\xff\xff\xff\xff"]
    {
        error(&legacy(object));
    }
}
