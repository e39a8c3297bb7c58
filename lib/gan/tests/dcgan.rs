//! Ten steps of DCGAN against PyTorch's numbers (`golden/dcgan`, made by `make.py` there), on both backends.

mod common;

use candle_core::{Device, Tensor};
use gan::checkpoint::foreign::LayoutHints;
use gan::nn::Network;
use gan::nn::adam::AdamConfig;
use gan::nn::model::{Arch, Dcgan, ModelConfig};
use gan::nn::ops::Backend;
use gan::precision::Precision;
use gan::train::Trainer;

use common::{Target, Tensors, cpu, gradients_match, largest_difference, part, weights_match};

fn golden(name: &str) -> Tensors {
    common::golden(&format!("dcgan/{name}"))
}

/// PyTorch's NCHW to our channels-last.
fn channels_last(x: &Tensor) -> Tensor {
    x.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

fn trainer(&Target { backend, ref device, .. }: &Target) -> Trainer {
    let config = ModelConfig {
        size: 64,
        channels: 3,
        arch: Arch::Dcgan(Dcgan { nz: 8, ngf: 8, ndf: 8, ..Default::default() }),
    };
    let model = config;
    let mut generator = model.generator(0, device).unwrap().with_backend(backend);
    let mut discriminator = model.discriminator(0, device).unwrap().with_backend(backend);
    let init = golden("init.safetensors");
    generator.load(&part(&init, "G.")).unwrap();
    discriminator.load(&part(&init, "D.")).unwrap();
    let adam = AdamConfig { lr: 2e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8 };
    Trainer::new(generator, discriminator, &adam, &adam).unwrap()
}

fn noise(data: &Tensors, step: usize) -> Tensor {
    data["noise"].get(step).unwrap().flatten_from(1).unwrap()
}

/// Losses and weights of ten steps as PyTorch's, whose own f32 and f64 differ by up to 5e-7 here.
fn ten_steps(target: Target) {
    let (device, tolerance) = (&target.device, target.tolerance);
    let (data, steps, last) =
        (golden("data.safetensors"), golden("steps.safetensors"), golden("final.safetensors"));
    let mut trainer = trainer(&target);
    let real = channels_last(&data["real"]).to_device(device).unwrap();
    let series = |name: &str| steps[name].to_vec1::<f32>().unwrap();
    let names = ["errD_real", "errD_fake", "errG", "D_x", "D_G_z1", "D_G_z2"];
    let expected = names.map(series);
    #[allow(clippy::needless_range_loop)] // the step indexes six series at once
    for step in 0..10 {
        let r = trainer.step(&real, &noise(&data, step).to_device(device).unwrap(), None).unwrap();
        let ours = [r.loss_d_real, r.loss_d_fake, r.loss_g, r.d_x, r.d_g_z1, r.d_g_z2];
        for ((name, ours), expected) in names.iter().zip(ours).zip(&expected) {
            let theirs = expected[step] as f64;
            assert!((ours - theirs).abs() < tolerance, "{name} at step {step}: {ours} {theirs}");
        }
    }
    for (network, prefix) in [(&trainer.generator, "G."), (&trainer.discriminator, "D.")] {
        weights_match(network.tensors().unwrap(), &part(&last, prefix), prefix, tolerance);
    }
    let z = data["fixed_noise"].narrow(0, 0, 4).unwrap().flatten_from(1).unwrap();
    let images = trainer.generator.forward(&z.to_device(device).unwrap()).unwrap();
    let d = largest_difference(&images, &channels_last(&steps["sample_eval"]));
    assert!(d < 1e-4, "images in evaluation mode differ by {d}");
}

#[test]
fn ten_steps_match_pytorch_on_the_cpu_backend() {
    ten_steps(cpu(Backend::Cpu));
}

#[test]
fn ten_steps_match_pytorch_on_the_portable_backend() {
    ten_steps(cpu(Backend::Portable));
}

#[cfg(feature = "cuda")]
#[test]
fn ten_steps_match_pytorch_on_the_gpu() {
    ten_steps(common::gpu());
}

/// What bf16 does to the losses of ten steps; both backends round at the same places, in other orders of summation.
fn ten_steps_in_bf16(target: Target) {
    let (data, steps) = (golden("data.safetensors"), golden("steps.safetensors"));
    let mut trainer = trainer(&target);
    trainer.generator = trainer.generator.with_precision(Precision::Bf16);
    trainer.discriminator = trainer.discriminator.with_precision(Precision::Bf16);
    let real = channels_last(&data["real"]).to_device(&target.device).unwrap();
    let [d_real, d_fake, g] =
        ["errD_real", "errD_fake", "errG"].map(|name| steps[name].to_vec1::<f32>().unwrap());
    for step in 0..10 {
        let z = noise(&data, step).to_device(&target.device).unwrap();
        let r = trainer.step(&real, &z, None).unwrap();
        for (ours, theirs) in
            [(r.loss_d_real, d_real[step]), (r.loss_d_fake, d_fake[step]), (r.loss_g, g[step])]
        {
            assert!((ours - f64::from(theirs)).abs() < target.tolerance, "step {step}: {ours} {theirs}");
        }
    }
}

#[test]
fn ten_steps_in_bf16_stay_near_pytorchs_on_both_backends() {
    for backend in [Backend::Cpu, Backend::Portable] {
        ten_steps_in_bf16(Target { tolerance: 0.05, ..cpu(backend) });
    }
}

#[cfg(feature = "cuda")]
#[test]
fn ten_steps_in_bf16_stay_near_pytorchs_on_the_gpu() {
    ten_steps_in_bf16(Target { tolerance: 0.05, ..common::gpu() });
}

/// Every gradient of the first step, relative to the largest of its tensor.
fn first_gradients(target: Target) {
    let (data, steps) = (golden("data.safetensors"), golden("steps.safetensors"));
    let mut trainer = trainer(&target);
    let [real, z] =
        [channels_last(&data["real"]), noise(&data, 0)].map(|t| t.to_device(&target.device).unwrap());
    let (of_d, of_g) = trainer.gradients(&real, &z, None).unwrap();
    for (grads, prefix) in [(of_d, "step0.gradD."), (of_g, "step0.gradG.")] {
        gradients_match(grads, &part(&steps, prefix), prefix, target.tolerance);
    }
}

#[test]
fn first_gradients_match_pytorch_on_the_cpu_backend() {
    first_gradients(cpu(Backend::Cpu));
}

#[test]
fn first_gradients_match_pytorch_on_the_portable_backend() {
    first_gradients(cpu(Backend::Portable));
}

#[cfg(feature = "cuda")]
#[test]
fn first_gradients_match_pytorch_on_the_gpu() {
    first_gradients(common::gpu());
}

#[test]
fn the_state_goes_out_and_comes_back() {
    let data = golden("data.safetensors");
    let real = channels_last(&data["real"]);
    let mut straight = trainer(&cpu(Backend::Cpu));
    straight.step(&real, &noise(&data, 0), None).unwrap();
    let state: Tensors = straight.tensors().unwrap().into_iter().collect();
    let mut resumed = trainer(&cpu(Backend::Cpu));
    resumed.load(&state).unwrap();
    let reports = [&mut straight, &mut resumed].map(|t| t.step(&real, &noise(&data, 1), None).unwrap());
    assert_eq!(reports[0], reports[1]);
    for ((name, a), (_, b)) in straight.tensors().unwrap().into_iter().zip(resumed.tensors().unwrap()) {
        let bytes = |t: Tensor| {
            format!(
                "{:?}",
                t.flatten_all().unwrap().to_dtype(candle_core::DType::F64).unwrap().to_vec1::<f64>()
            )
        };
        assert_eq!(bytes(a), bytes(b), "{name}");
    }
    let mut wrong = state.clone();
    wrong.remove("adam_d.v.main.5.weight");
    assert_eq!(resumed.load(&wrong).unwrap_err().to_string(), "adam_d.v.main.5.weight: is missing");
}

/// By its names and shapes alone it is the same network: its images are the same, bit for bit.
#[test]
fn a_generator_is_understood_from_its_shapes() {
    for (size, channels) in [(32, 1), (64, 3), (128, 3)] {
        let config = ModelConfig {
            size,
            channels,
            arch: Arch::Dcgan(Dcgan { nz: 7, ngf: 4, ndf: 4, ..Default::default() }),
        };
        let generator = config.generator(3, &Device::Cpu).unwrap();
        let (outline, again) = common::understood(&generator, &LayoutHints::default());
        assert_eq!((outline.arch, outline.size, outline.channels, outline.nz), ("dcgan", size, channels, 7));
        let z = Tensor::ones((2, 7), candle_core::DType::F32, &Device::Cpu).unwrap();
        let images = |network: &Network| network.forward(&z).unwrap();
        assert_eq!(images(&again).dims(), [2, size, size, channels]);
        let numbers = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(images(&again)), numbers(images(&generator)));
    }
}
