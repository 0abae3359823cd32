//! A copy of all weights on another device, bit for bit.

use std::sync::Arc;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Result, Tensor};

use super::{LayerWeights, Matrix, Stack, Weights};

impl Weights {
    /// The same weights on `device`; those that lie there already are shared.
    pub(crate) fn on(&self, device: &Device) -> Result<Self> {
        let layers = self.layers.iter().map(|layer| layer.on(device));
        Ok(Self {
            family: self.family,
            shape: self.shape.clone(),
            activation: self.activation,
            embedding: self.embedding.on(device)?,
            layers: layers.collect::<Result<_>>()?,
            norm: self.norm.to_device(device)?,
            head: maybe(self.head.as_ref(), |head| head.on(device))?,
        })
    }
}

impl LayerWeights {
    fn on(&self, device: &Device) -> Result<Self> {
        let small = |tensor: &Option<Tensor>| maybe(tensor.as_ref(), |it| it.to_device(device));
        Ok(Self {
            attention_norm: self.attention_norm.to_device(device)?,
            qkv: self.qkv.on(device)?,
            qkv_bias: small(&self.qkv_bias)?,
            q_norm: small(&self.q_norm)?,
            k_norm: small(&self.k_norm)?,
            output: self.output.on(device)?,
            ffn_norm: self.ffn_norm.to_device(device)?,
            gate_up: self.gate_up.on(device)?,
            down: self.down.on(device)?,
        })
    }
}

impl Stack {
    fn on(&self, device: &Device) -> Result<Self> {
        let matrices = self.0.iter().map(|matrix| matrix.on(device));
        Ok(Self(matrices.collect::<Result<_>>()?))
    }
}

impl Matrix {
    fn on(&self, device: &Device) -> Result<Self> {
        match self {
            Self::Dense(matrix) => Ok(Self::Dense(matrix.to_device(device)?)),
            Self::Quant(matrix) if matrix.device().same_device(device) => Ok(self.clone()),
            Self::Quant(matrix) => Ok(Self::Quant(Arc::new(blocks_on(matrix, device)?))),
        }
    }
}

/// The blocks as they are, on `device`.
fn blocks_on(matrix: &QTensor, device: &Device) -> Result<QTensor> {
    let storage = QStorage::from_data(matrix.data()?, device, matrix.dtype())?;
    QTensor::new(storage, matrix.shape())
}

fn maybe<T, U>(it: Option<&T>, make: impl Fn(&T) -> Result<U>) -> Result<Option<U>> {
    it.map(make).transpose()
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::engine::decoder::random::{Named, quantized, shape};
    use crate::study::model::Family;

    #[test]
    fn blocks_are_copied_bit_for_bit() {
        let values = Tensor::randn(0f32, 1f32, (3, 256), &Device::Cpu).unwrap();
        for dtype in [GgmlDType::Q8_0, GgmlDType::Q4K] {
            let matrix = QTensor::quantize(&values, dtype).unwrap();
            let copied = blocks_on(&matrix, &Device::Cpu).unwrap();
            assert_eq!(copied.data().unwrap(), matrix.data().unwrap());
            assert_eq!((copied.dtype(), copied.shape()), (dtype, matrix.shape()));
        }
    }

    #[test]
    fn what_lies_there_already_is_shared() {
        let model = Named::new(Family::Qwen3, shape(Family::Qwen3), 1);
        let weights = model.weights(quantized(GgmlDType::Q8_0));
        let there = weights.on(&Device::Cpu).unwrap();
        for (one, other) in weights.linears().zip(there.linears()) {
            let (Matrix::Quant(one), Matrix::Quant(other)) = (one, other) else {
                panic!("a matrix is dense");
            };
            assert!(Arc::ptr_eq(one, other));
        }
        assert_eq!(there.norm.dtype(), DType::F32);
        assert_eq!(there.layers.len(), weights.layers.len());
    }
}
