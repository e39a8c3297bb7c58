//! Adam whose state can be saved.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::network::Network;
use super::ops::AdamStep;
use crate::{Error, Result};

/// Adam's settings (Kingma and Ba 2015); no weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// The learning rate, above 0.
    pub lr: f64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the denominator, above 0.
    pub eps: f64,
}

/// An optimizer for one network: settings, moments and the number of steps taken.
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    t: u64,
    /// As [`Backend::join`](crate::nn::ops::Backend::join) makes them; v likewise.
    m: Vec<Tensor>,
    v: Vec<Tensor>,
}

impl Adam {
    /// Moments of zero for the parameters of `network`.
    pub fn new(config: &AdamConfig, network: &Network) -> Result<Adam> {
        let zeros = || -> Result<_> {
            let zeros = network.parameters().into_iter().map(Tensor::zeros_like).collect::<Result<_, _>>()?;
            network.backend().join(zeros)
        };
        Ok(Adam { config: *config, t: 0, m: zeros()?, v: zeros()? })
    }

    /// An optimizer in the same state that shares nothing with this one.
    pub fn copy(&self) -> Result<Adam> {
        let copy = |moments: &[Tensor]| moments.iter().map(Tensor::copy).collect::<Result<Vec<_>, _>>();
        Ok(Adam { config: self.config, t: self.t, m: copy(&self.m)?, v: copy(&self.v)? })
    }

    /// One step on `network` from its gradients, in the order of [`Network::parameters`].
    pub fn apply(&mut self, network: &mut Network, grads: &[Tensor]) -> Result<()> {
        self.t += 1;
        let AdamConfig { lr, beta1, beta2, eps } = self.config;
        let step = AdamStep { beta1, beta2, eps, lr, t: self.t };
        let backend = network.backend();
        let parameters = network.parameters_mut();
        assert_eq!(parameters.len(), grads.len(), "one gradient per parameter");
        backend.adam(&step, parameters, &mut self.m, &mut self.v, grads)
    }

    /// The complete state: `m.NAME` and `v.NAME` in PyTorch's layouts, f32, and `t`, i64 `[1]`.
    pub fn tensors(&self, network: &Network) -> Result<Vec<(String, Tensor)>> {
        let mut all = Vec::new();
        for (kind, moments) in [("m", &self.m), ("v", &self.v)] {
            let moments = network.backend().split(moments, &network.parameters())?;
            for (name, tensor) in network.to_pytorch(&moments)? {
                all.push((format!("{kind}.{name}"), tensor));
            }
        }
        all.push(("t".into(), Tensor::new(&[self.t as i64], &Device::Cpu)?));
        Ok(all)
    }

    /// Loads the state of [`Adam::tensors`].
    ///
    /// # Errors
    /// A tensor is missing or has another shape; the error names it.
    pub fn load(&mut self, network: &Network, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let t = tensors.get("t").ok_or_else(|| Error::Invalid("t: is missing".into()))?;
        let t = t.flatten_all()?.to_vec1::<i64>()?;
        self.t = match t[..] {
            [t] if t >= 0 => t as u64,
            _ => return Err(Error::Invalid(format!("t: {t:?} is not a number of steps"))),
        };
        for (kind, moments) in [("m", &mut self.m), ("v", &mut self.v)] {
            let get = |name: &str| tensors.get(&format!("{kind}.{name}"));
            let each = network.from_pytorch(get).map_err(|e| e.within(&format!("{kind}.")))?;
            *moments = network.backend().join(each)?;
        }
        Ok(())
    }
}
