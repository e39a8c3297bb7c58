//! Every file of `tests/golden/foreign` makes PyTorch's images, or says why not.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::*;
use crate::checkpoint::{self, Generator};
use crate::nn::ops::Backend;

const CPU: Device = Device::Cpu;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/foreign")
}

fn golden() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder().join("images.safetensors"), &CPU).unwrap()
}

fn read(name: &str, hints: &LayoutHints) -> Result<Generator> {
    checkpoint::generator(&folder().join(name), hints, &CPU)
}

/// The line that refuses a file, without its name; or a hint.
fn refusal(name: &str, hints: &LayoutHints) -> String {
    let error = read(name, hints).err().unwrap_or_else(|| panic!("{name} is read"));
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    if let Error::Argument { .. } = error {
        return line;
    }
    line.strip_prefix(&format!("{}: ", folder().join(name).display())).expect("the file first").to_string()
}

/// The hints of a test, from flags of `sample`.
fn hints(flags: &str) -> LayoutHints {
    let mut hints = LayoutHints::default();
    let words: Vec<&str> = flags.split_whitespace().collect();
    let list = |text: &str| text.split(',').map(|n| n.parse().unwrap()).collect();
    for pair in words.chunks(2) {
        match pair[0] {
            "--slope" => hints.slope = Some(pair[1].parse().unwrap()),
            "--last" if pair[1] == "sigmoid" => hints.last = Some(OutputActivation::Sigmoid),
            "--last" => hints.last = Some(OutputActivation::None),
            "--eps" => hints.eps = pair[1].split(',').map(|n| n.parse().unwrap()).collect(),
            "--stride" => hints.stride = list(pair[1]),
            "--padding" => hints.padding = list(pair[1]),
            "--output-padding" => hints.output_padding = list(pair[1]),
            "--upsample" => hints.upsample = list(pair[1]),
            other => panic!("{other}"),
        }
    }
    hints
}

/// The largest difference from PyTorch's images of the same latents.
fn difference(name: &str, generator: &Generator, golden: &HashMap<String, Tensor>) -> u8 {
    let key = name.split('.').next().unwrap();
    let ours = crate::sample::images(&generator.network, &golden[&format!("{key}.z")]).unwrap();
    let theirs = &golden[&format!("{key}.images")];
    let (count, side, _, channels) = theirs.dims4().unwrap();
    let (height, width, c) = generator.image_shape;
    assert_eq!(
        (height, height, c, ours.len()),
        (width, side * (height / side), channels, count * width * width * c)
    );
    // Of large images each so-and-so-many-th pixel is kept.
    let step = height / side;
    let ours = Tensor::from_vec(ours, (count, height, width, c), &CPU).unwrap();
    let places: Vec<u32> = (0..side).map(|i| (i * step) as u32).collect();
    let places = Tensor::new(places, &CPU).unwrap();
    let ours = ours.index_select(&places, 1).unwrap().index_select(&places, 2).unwrap();
    let bytes = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<u8>().unwrap();
    let (ours, theirs) = (bytes(&ours), bytes(theirs));
    assert!(theirs.iter().max().unwrap() - theirs.iter().min().unwrap() > 60, "{name}: no image");
    ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// (file, what has to be hints, what is said to be taken).
const CASES: [(&str, &str, &str); 54] = [
    ("plain.pth", "", "ReLU, tanh at the end, stride 1,2,2, padding 0,1,1, eps 1e-5 (slope, "),
    ("legacy.pt", "", "ReLU"),
    ("nested.ckpt", "", "ReLU"),
    ("ema.pt", "", "g_ema.main, the average (EMA) of its weights; ReLU"),
    ("lightning.ckpt", "", "ReLU"),
    ("averaged.pth", "", "ReLU"),
    ("parallel.safetensors", "", "ReLU"),
    ("compiled.safetensors", "", "ReLU"),
    ("both.safetensors", "", "ReLU"),
    ("unnamed.safetensors", "", "ReLU"),
    ("bare.safetensors", "", "ReLU"),
    ("dropout.safetensors", "", "1 module without tensors as doing nothing (Dropout)"),
    ("biased.safetensors", "", "stride 1,2,2, padding 0,1,1 (slope"),
    ("affineless.safetensors", "", "eps 1e-5"),
    ("widths.safetensors", "", "stride 1,2,2,2"),
    ("spectral.safetensors", "", "ReLU"),
    ("spectral_parametrized.safetensors", "", "ReLU"),
    ("weight_norm.safetensors", "", "ReLU"),
    ("weight_norm_parametrized.safetensors", "", "ReLU"),
    ("leaky.safetensors", "--slope 0.2", "tanh at the end, stride"),
    ("sigmoid.safetensors", "--last sigmoid", "ReLU, stride"),
    ("sigmoid_after_norm.safetensors", "--last sigmoid", "ReLU, stride"),
    ("linear_end.safetensors", "--last none", "ReLU, stride"),
    ("activation_first.safetensors", "", "ReLU"),
    ("blocks.safetensors", "", "ReLU"),
    ("kernel2.safetensors", "", "padding 0,0,0"),
    ("kernel3.safetensors", "", "padding 0,1,1, output padding 0,1,1"),
    ("kernel3_equal.safetensors", "", "main.3 transposed, main.6 transposed"),
    ("kernel5.safetensors", "", "padding 0,2,2, output padding 0,1,1"),
    ("conv_end.safetensors", "", "stride 1,2,1, padding 0,1,1,"),
    ("conv1_end.safetensors", "", "stride 1,2,2,1, padding 0,1,1,0"),
    ("extra.safetensors", "", "4 not transposed"),
    ("size28.safetensors", "", "stride 1,2,2"),
    ("padding3.safetensors", "--padding 0,1,1,3", "stride 1,2,2,2, eps"),
    ("strides.safetensors", "--stride 2,1,2,2 --padding 0", "ReLU, tanh at the end (slope, last)"),
    ("strides.safetensors", "--stride 2,1,2,2 --padding 0 --output-padding 0 --slope 0 --last none", ""),
    ("size256.safetensors", "", "ReLU"),
    ("float16.safetensors", "", "ReLU"),
    ("bfloat16.safetensors", "", "ReLU"),
    ("float64.safetensors", "", "ReLU"),
    ("mlp_color.safetensors", "", "ReLU, tanh at the end, channels first (slope, last, layout)"),
    ("mlp_leaky.pth", "--slope 0.2", "tanh at the end (last)"),
    ("mlp_sigmoid.safetensors", "--last sigmoid", "ReLU (slope)"),
    ("mlp_norm.pkl", "--slope 0.2 --eps 0.8", "1 module without tensors"),
    ("mlp_norm.pkl", "--slope 0.2 --eps 0.8,0.8", "tanh"),
    ("projected.bin", "", "ReLU"),
    ("projected_sorted.safetensors", "", "ReLU"),
    ("norms_last.pth", "", "ReLU"),
    ("norms_first.safetensors", "", "ReLU"),
    ("unflatten.safetensors", "", "ReLU"),
    ("upsampled.pth", "--slope 0.2 --upsample 2,2,1 --eps 1e-5,0.8,0.8", "stride 1,1,1, padding 1,1,1"),
    ("upsampled.pth", "--slope 0.2 --upsample 2,2,1 --eps 1e-5,0.8,0.8 --stride 1 --padding 1", "tanh"),
    ("legacy.pt", "--slope 0 --last none --stride 1,2,2 --padding 0,1,1 --eps 1e-5", ""),
    ("kernel3.safetensors", "--output-padding 0,1,1", "padding 0,1,1, eps"),
];

#[test]
fn other_programs_generators_make_their_images() {
    let golden = golden();
    for (name, flags, taken) in CASES {
        let generator = read(name, &hints(flags)).unwrap_or_else(|e| panic!("{e}"));
        let summary = generator.summary.as_ref().unwrap();
        let said = match summary.hints.is_empty() {
            true => summary.assumed.clone(),
            false => format!("{} ({})", summary.assumed, summary.hints.join(", ")),
        };
        assert!(said.contains(taken) && taken.is_empty() == said.is_empty(), "{name}: {said}, not {taken}");
        // One of these is a check of the words alone.
        if flags.contains("--last none") && name != "linear_end.safetensors" {
            continue;
        }
        let generator = [Backend::Cpu, Backend::Portable].map(|backend| {
            let mut generator = read(name, &hints(flags)).unwrap();
            generator.network = generator.network.with_backend(backend);
            generator
        });
        for generator in generator {
            let difference = difference(name, &generator, &golden);
            assert!(difference <= 1, "{name}: {:?}: differs by {difference}", generator.network.backend());
        }
    }
}

/// What is hints matters: without it the images are others.
#[test]
fn what_is_told_changes_the_images() {
    let golden = golden();
    for (name, ..) in CASES.iter().filter(|(name, flags, _)| {
        !flags.is_empty()
            && ![
                "padding3.safetensors",
                "strides.safetensors",
                "upsampled.pth",
                "legacy.pt",
                "kernel3.safetensors",
            ]
            .contains(name)
    }) {
        let generator = read(name, &LayoutHints::default()).unwrap();
        assert!(difference(name, &generator, &golden) > 3, "{name}");
    }
    assert_eq!(read("padding3.safetensors", &LayoutHints::default()).unwrap().image_shape, (32, 32, 1));
}

#[test]
fn every_file_is_tried() {
    let mut names: Vec<String> =
        fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !["make.py", "images.safetensors"].contains(&name.as_str()));
    let tried = CASES.iter().map(|(name, ..)| *name).chain(REFUSED.iter().map(|(name, ..)| *name));
    let tried: Vec<&str> = tried.collect();
    names.retain(|name| !tried.contains(&name.as_str()));
    assert!(names.is_empty(), "{names:?}");
}

/// (file, what is hints, how the line begins).
const REFUSED: [(&str, &str, &str); 16] = [
    (
        "module.pth",
        "",
        "a pickled object of the Python class torch.nn.modules.container.Sequential, not its \
         tensors, and code is never run; in Python: \
         torch.save(torch.load(F, weights_only=False).state_dict(), \"G.pth\")",
    ),
    (
        "nested_module.pth",
        "",
        "a pickled object of the Python class __main__.Main, not its tensors, and code is never run; \
        in Python: torch.save(torch.load(F, weights_only=False)[\"netG\"].state_dict(), \"G.pth\")",
    ),
    ("optimizer.pth", "", "an optimizer's state, not a generator"),
    ("discriminator.pth", "", "a discriminator (or another network that takes images), not a generator"),
    ("script.pt", "", "a TorchScript archive (torch.jit.save), which is a program; save the weights: "),
    ("two.pth", "", "it holds 2 generators, A.main and B.main: save only one of them"),
    (
        "upsampled.pth",
        "",
        "not a generator that is known: conv_blocks.2.weight: no layer after it makes images larger \
         than 4×4; the file does not contain what does",
    ),
    ("plain.pth", "--padding 1,2", "padding: 2 values for 3 convolutions: give one for all, or one for each"),
    (
        "plain.pth",
        "--padding 9",
        "padding: 9 does not fit main.0.weight: less than its kernel of 4 is possible",
    ),
    ("plain.pth", "--stride 5", "stride: 5 does not fit main.0.weight: 1 to 4 is possible for a kernel of 4"),
    (
        "plain.pth",
        "--output-padding 0,2,0",
        "output_padding: 2 does not fit main.3.weight: less than its stride is possible",
    ),
    ("plain.pth", "--eps 1,1,1", "eps: 3 values for 2 batch-norms: give one for all, or one for each"),
    (
        "plain.pth",
        "--upsample 2",
        "upsample: 2 does not fit main.0.weight: 1 to 16 is possible, before convolutions that keep the size",
    ),
    ("mlp_leaky.pth", "--stride 2", "stride: the generator has no convolutions"),
    (
        "plain.pth",
        "--padding 3,3,3",
        "not a generator that is known: main.0.weight: nothing is left of 1×1 pixels with padding 3",
    ),
    ("images.safetensors", "", "not a generator that is known: "),
];

#[test]
fn what_is_no_generator_is_refused_with_the_reason() {
    for (name, flags, line) in REFUSED {
        let found = refusal(name, &hints(flags));
        assert!(found.starts_with(line), "{name}: {found}\nnot {line}");
    }
}

/// Names and shapes; the refusal follows.
type Shapes<'a> = &'a [(&'a str, &'a [usize])];

#[test]
fn the_tensor_that_does_not_fit_is_named() {
    let cases: [(Shapes, &str); 16] = [
        (
            &[("0.weight", &[30, 40, 4, 4]), ("1.weight", &[50, 30, 4, 4])],
            "1.weight: a kernel of 50×30×4×4, but 0 gives 40 channels",
        ),
        (
            &[("0.weight", &[3, 4, 4, 4]), ("1.weight", &[4, 5, 4, 4])],
            "1.weight: gives 5 channels; images have 1 or 3",
        ),
        (&[("0.weight", &[3, 4, 4, 5])], "0.weight: has a kernel of 4×5; only square ones are supported"),
        (
            &[("0.weight", &[8, 3]), ("2.weight", &[10, 8])],
            "2.weight: gives 10 features, not size² or 3·size²",
        ),
        (
            &[("0.weight", &[8, 3]), ("2.weight", &[9, 7])],
            "2.weight: takes 7 features, but 0 gives 8 features",
        ),
        (
            &[("0.weight", &[8, 3]), ("1.weight", &[8]), ("1.bias", &[8])],
            "1.weight: is of a norm without running statistics",
        ),
        (&[("0.weight", &[8, 3]), ("1.weight", &[1])], "1.weight: is of a PReLU"),
        (&[("0.weight", &[8, 3]), ("0.bias", &[7])], "0.bias: is 7, its layer gives 8"),
        (&[("0.weight", &[8, 3]), ("0.gamma", &[7])], "0.gamma: is no tensor of a linear layer"),
        (&[("0.weight", &[8, 3, 4])], "0.weight: is of a convolution in one dimension"),
        (&[("0.weight", &[3, 3, 4, 4, 4])], "0.weight: is 3×3×4×4×4: no layer that makes images"),
        (
            &[("a.running_mean", &[3]), ("a.running_var", &[3]), ("b.weight", &[3, 3])],
            "a.running_mean: a batch-norm comes first: the layers before it",
        ),
        (
            &[("c.weight", &[20, 30, 4, 4]), ("c.bias", &[20])],
            "c.weight: its bias or batch-norm does not fit a transposed convolution",
        ),
        (
            &[("label_emb.weight", &[10, 10]), ("model.0.weight", &[8, 20])],
            "label_emb.weight: it looks like the embedding of classes",
        ),
        (&[("0.weight", &[1, 1, 257, 257])], "0.weight: makes images of 257×257; 256×256 is the limit"),
        (&[("0.weight", &[512 * 512, 3])], "0.weight: makes images of 512×512; 256×256 is the limit"),
    ];
    for (shapes, wanted) in cases {
        let spec = |(name, shape): &(&str, &[usize])| TensorSpec {
            name: (*name).into(),
            shape: shape.to_vec(),
            float: true,
        };
        let dicts =
            [StateDict { path: String::new(), tensors: shapes.iter().map(spec).collect(), ordered: true }];
        let line = find(&dicts, &LayoutHints::default()).err().expect(wanted).to_string();
        assert!(
            line.starts_with(&format!("not a generator that is known: {wanted}")),
            "{line}\nnot {wanted}"
        );
    }
}
