//! Six steps of an MLP GAN against PyTorch's numbers (`golden/mlp`, made by `make.py` there), on both backends.

mod common;

use candle_core::{DType, Device, Tensor};
use gan::checkpoint::foreign::{ChannelOrder, LayoutHints};
use gan::nn::adam::AdamConfig;
use gan::nn::model::{Arch, Mlp, ModelConfig};
use gan::nn::ops::Backend;
use gan::train::Trainer;

use common::{Target, Tensors, cpu, golden, gradients_match, largest_difference, part, weights_match};

fn config() -> ModelConfig {
    ModelConfig {
        size: 12,
        channels: 1,
        arch: Arch::Mlp(Mlp {
            nz: 5,
            hidden_g: vec![19, 12],
            hidden_d: vec![18, 13, 8],
            slope_g: 0.2,
            slope_d: 0.2,
        }),
    }
}

fn trainer(&Target { backend, ref device, .. }: &Target) -> Trainer {
    let model = config();
    let mut generator = model.generator(0, device).unwrap().with_backend(backend);
    let mut discriminator = model.discriminator(0, device).unwrap().with_backend(backend);
    let init = golden("mlp/init.safetensors");
    generator.load(&part(&init, "G.")).unwrap();
    discriminator.load(&part(&init, "D.")).unwrap();
    let adam = AdamConfig { lr: 2e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    Trainer::new(generator, discriminator, &adam, &adam).unwrap()
}

/// Real images and both noises of a step.
fn inputs(data: &Tensors, step: usize) -> (Tensor, Tensor, Tensor) {
    let at = |name: &str| data[name].get(step).unwrap();
    (at("real").unsqueeze(3).unwrap(), at("noise"), at("fresh"))
}

/// Losses and weights of six steps as PyTorch's.
fn six_steps(target: Target) {
    let (device, tolerance) = (&target.device, target.tolerance);
    let inputs = |data: &Tensors, step| {
        let (real, z, fresh) = inputs(data, step);
        [real, z, fresh].map(|t| t.to_device(device).unwrap())
    };
    let (data, steps) = (golden("mlp/data.safetensors"), golden("mlp/steps.safetensors"));
    let mut trainer = trainer(&target);
    let names = ["errD_real", "errD_fake", "errG", "D_x", "D_G_z1", "D_G_z2"];
    for step in 0..6 {
        let [real, z, fresh] = inputs(&data, step);
        let r = trainer.step(&real, &z, Some(&fresh)).unwrap();
        let ours = [r.loss_d_real, r.loss_d_fake, r.loss_g, r.d_x, r.d_g_z1, r.d_g_z2];
        for (name, ours) in names.iter().zip(ours) {
            let theirs = steps[*name].get(step).unwrap().to_scalar::<f32>().unwrap() as f64;
            assert!((ours - theirs).abs() < tolerance, "{name} at step {step}: {ours} {theirs}");
        }
    }
    let last = golden("mlp/final.safetensors");
    for (network, prefix) in [(&trainer.generator, "G."), (&trainer.discriminator, "D.")] {
        weights_match(network.tensors().unwrap(), &part(&last, prefix), prefix, tolerance);
    }
    let images = trainer.generator.forward(&inputs(&data, 0)[1]).unwrap();
    let d = largest_difference(&images.squeeze(3).unwrap(), &steps["sample"]);
    assert!(d < tolerance, "images differ by {d}");
}

#[test]
fn six_steps_match_pytorch_on_the_cpu_backend() {
    six_steps(cpu(Backend::Cpu));
}

#[test]
fn six_steps_match_pytorch_on_the_portable_backend() {
    six_steps(cpu(Backend::Portable));
}

#[cfg(feature = "cuda")]
#[test]
fn six_steps_match_pytorch_on_the_gpu() {
    six_steps(common::gpu());
}

#[test]
fn first_gradients_match_pytorch_on_both_backends() {
    let (data, steps) = (golden("mlp/data.safetensors"), golden("mlp/steps.safetensors"));
    for backend in [Backend::Cpu, Backend::Portable] {
        let (real, z, fresh) = inputs(&data, 0);
        let (of_d, of_g) = trainer(&cpu(backend)).gradients(&real, &z, Some(&fresh)).unwrap();
        gradients_match(of_d, &part(&steps, "step0.gradD."), "D.", 1e-5);
        gradients_match(of_g, &part(&steps, "step0.gradG."), "G.", 1e-5);
    }
}

/// What `tensors` gives and `load` takes shares no numbers with the run: the optimizer changes them in place.
#[test]
fn a_copy_and_a_saved_state_stay_as_they_were() {
    let data = golden("mlp/data.safetensors");
    let (real, z, fresh) = inputs(&data, 0);
    let mut trainer = trainer(&cpu(Backend::Cpu));
    trainer.step(&real, &z, Some(&fresh)).unwrap();
    let numbers = |state: &[(String, Tensor)]| -> Vec<Vec<f64>> {
        let of = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        state.iter().map(|(_, t)| of(t)).collect()
    };
    let (saved, copy) = (trainer.tensors().unwrap(), trainer.copy().unwrap());
    let mut loaded = copy.copy().unwrap();
    loaded.load(&saved.iter().cloned().collect()).unwrap();
    let before = numbers(&saved);
    let second = trainer.step(&real, &z, None).unwrap();
    assert_ne!(numbers(&trainer.tensors().unwrap()), before);
    assert_eq!(numbers(&saved), before);
    assert_eq!(numbers(&copy.tensors().unwrap()), before);
    assert_eq!(numbers(&loaded.tensors().unwrap()), before);
    assert_eq!(loaded.step(&real, &z, None).unwrap(), second);
    assert_eq!(numbers(&loaded.tensors().unwrap()), numbers(&trainer.tensors().unwrap()));
    assert_eq!(numbers(&saved), before);
}

#[test]
fn fresh_noise_is_what_g_learns_from() {
    let data = golden("mlp/data.safetensors");
    let (real, z, fresh) = inputs(&data, 0);
    let steps =
        [None, Some(&z), Some(&fresh)].map(|f| trainer(&cpu(Backend::Cpu)).step(&real, &z, f).unwrap());
    assert_eq!(steps[0], steps[1], "the same noise again makes the same fakes");
    assert_eq!(steps[0].loss_d(), steps[2].loss_d());
    assert_ne!(steps[0].loss_g, steps[2].loss_g);
}

#[test]
fn a_generator_is_understood_from_its_shapes() {
    for (size, channels, hidden) in [(28, 1, vec![256, 256]), (8, 3, vec![9]), (5, 1, vec![])] {
        let reversed = hidden.iter().rev().copied().collect();
        let config = ModelConfig {
            size,
            channels,
            arch: Arch::Mlp(Mlp { nz: 7, hidden_g: hidden, hidden_d: reversed, slope_g: 0.0, slope_d: 0.2 }),
        };
        let model = config;
        let generator = model.generator(3, &Device::Cpu).unwrap();
        // Ours have colors pixel by pixel.
        let layout = (channels == 3).then_some(ChannelOrder::ChannelsLast);
        let (outline, again) =
            common::understood(&generator, &LayoutHints { layout, ..LayoutHints::default() });
        assert_eq!((outline.arch, outline.size, outline.channels, outline.nz), ("mlp", size, channels, 7));
        let z = Tensor::ones((2, 7), DType::F32, &Device::Cpu).unwrap();
        let images = generator.forward(&z).unwrap();
        assert_eq!(images.dims(), [2, size, size, channels]);
        let numbers = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(&images), numbers(&again.forward(&z).unwrap()));
        let logits = model.discriminator(3, &Device::Cpu).unwrap().forward(&images).unwrap();
        assert_eq!(logits.dims(), [2, 1, 1, 1]);
    }
}

/// `nn.Linear` starts uniform in ±1/√(inputs): bounded, of mean 0 and variance bound²/3.
#[test]
fn weights_and_biases_start_as_pytorchs_linear_layers() {
    let arch = Arch::Mlp(Mlp { hidden_d: vec![256], ..Default::default() });
    let model = ModelConfig { size: 28, channels: 1, arch };
    let tensors = model.discriminator(5, &Device::Cpu).unwrap().tensors().unwrap();
    let shapes: Vec<_> = tensors.iter().map(|(name, t)| (name.as_str(), t.dims())).collect();
    let expected: [(&str, &[usize]); 4] =
        [("0.weight", &[256, 784]), ("0.bias", &[256]), ("2.weight", &[1, 256]), ("2.bias", &[1])];
    assert_eq!(shapes, expected);
    for (i, bound) in [(0, 1.0 / 28.0), (1, 1.0 / 28.0), (2, 1.0 / 16.0), (3, 1.0 / 16.0)] {
        let x = tensors[i].1.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let n = x.len() as f64;
        assert!(x.iter().all(|v| v.abs() <= bound));
        if x.len() > 1 {
            let (mean, square) = x.iter().fold((0.0, 0.0), |(s, q), &v| (s + v as f64, q + (v * v) as f64));
            let variance = (bound * bound) as f64 / 3.0;
            assert!((mean / n).abs() < 5.0 * (variance / n).sqrt());
            // The variance of u² is 4/45 of the bound's fourth power.
            assert!((square / n - variance).abs() < 5.0 * (4.0 / 45.0 / n).sqrt() * (bound * bound) as f64);
        }
    }
}
