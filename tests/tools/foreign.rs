//! `sample` on generators that other programs saved, end to end; their images are compared with PyTorch's in
//! the library.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Sandbox;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/gan/tests/golden/foreign").join(name)
}

/// A folder with copies of some of PyTorch's files.
fn sandbox(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in names {
        fs::copy(golden(name), sandbox.path(name)).unwrap();
    }
    sandbox
}

#[test]
fn a_checkpoint_is_sampled_and_one_line_says_what_was_taken() {
    let sandbox = sandbox(&["nested.ckpt", "ema.pt", "strides.safetensors"]);
    let done = sandbox.run("sample nested.ckpt -n 2");
    assert_eq!(done.line(), "fakes/");
    assert_eq!(
        done.stderr,
        "sample: nested.ckpt: DCGAN 16×16×3, nz 3, hidden [6, 4]: assumed ReLU, tanh at the end, \
         stride 1,2,2, padding 0,1,1, eps 1e-5 (change: --slope, --last, --stride, --padding, --eps)\n"
    );
    assert_eq!(image::image_dimensions(sandbox.path("fakes/000001.png")).unwrap(), (16, 16));
    let done = sandbox.run("sample ema.pt -n 1 --json");
    assert!(
        done.stderr.contains("assumed g_ema.main, the average (EMA) of its weights; ReLU, "),
        "{}",
        done.stderr
    );
    assert_eq!(done.json()["model"]["prefix"], "g_ema.main");
    // What flags give is not reported, and has an effect.
    let told = "--stride 2,1,2,2 --padding 0 --output-padding 0 --slope 0 --last-activation tanh";
    let done = sandbox.run(&format!("sample strides.safetensors -n 1 -o told {told}"));
    assert_eq!((done.line(), &*done.stderr), ("told", ""));
    assert_eq!(image::image_dimensions(sandbox.path("told/000000.png")).unwrap(), (28, 28));
    let done = sandbox.run("sample strides.safetensors -n 1 -o taken -q");
    assert_eq!((done.line(), &*done.stderr), ("taken", ""));
}

/// The name of a file has no meaning.
#[test]
fn a_file_is_told_by_its_content() {
    let sandbox = sandbox(&[]);
    for (from, to) in [("plain.pth", "a.safetensors"), ("legacy.pt", "b"), ("bare.safetensors", "c.pth")] {
        fs::copy(golden(from), sandbox.path(to)).unwrap();
        sandbox.run(&format!("sample {to} -n 1 -q")).line();
    }
}

#[test]
fn info_describes_them() {
    let sandbox = sandbox(&["lightning.ckpt", "mlp_norm.pkl", "discriminator.pth"]);
    for tool in ["sample", "train"] {
        let info = sandbox.run(&format!("{tool} --info lightning.ckpt"));
        for wanted in [
            "DCGAN 16×16×3, nz 3, hidden [6, 4]",
            "state_dict.generator.main",
            "assumed       ReLU, tanh at the end",
        ] {
            assert!(info.stdout.contains(wanted), "{wanted}: {}{}", info.stdout, info.stderr);
        }
    }
    let json =
        sandbox.run("sample --info mlp_norm.pkl --slope 0.2 --eps 0.8 --layout channels-last --json").json();
    let model = &json["model"];
    assert_eq!(
        (&json["kind"], &model["arch"], &model["size"]),
        (&"generator".into(), &"mlp".into(), &5.into())
    );
    assert_eq!((&model["hidden"], &model["nz"]), (&serde_json::json!([8, 9, 7]), &3.into()));
    let done = sandbox.run("sample --info discriminator.pth");
    assert!(done.failure(1).starts_with("discriminator.pth: a discriminator"), "{}", done.stderr);
}

#[test]
fn what_is_no_generator_is_named_for_what_it_is() {
    let sandbox = sandbox(&["module.pth", "optimizer.pth", "script.pt", "two.pth"]);
    sandbox.write("pointer.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n");
    sandbox.write("page.pth", "<!DOCTYPE html><html><body>Sign in</body></html>");
    sandbox.write("keras.h5", b"\x89HDF\r\n\x1a\n and the rest");
    sandbox.write("g.onnx", b"\x08\x07\x12\x07pytorch\x1a\x051.9:\x80");
    sandbox.write("stylegan.pkl", b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01.");
    for (name, wanted) in [
        ("module.pth", "a pickled object of the Python class torch.nn.modules.container.Sequential"),
        ("optimizer.pth", "an optimizer's state, not a generator"),
        ("script.pt", "a TorchScript archive"),
        ("two.pth", "it holds 2 generators, A.main and B.main"),
        ("pointer.pth", "a pointer of Git LFS, not the file that it stands for: `git lfs pull` fetches that"),
        ("page.pth", "a web page, not the file that was to be downloaded"),
        ("keras.h5", "an HDF5 file, as Keras and TensorFlow save weights"),
        ("g.onnx", "an ONNX model"),
        ("stylegan.pkl", "a pickle of StyleGAN"),
    ] {
        let done = sandbox.run(&format!("sample {name} -n 1"));
        assert!(done.failure(1).starts_with(&format!("{name}: {wanted}")), "{}", done.stderr);
    }
    assert!(!sandbox.path("fakes").exists());
}
