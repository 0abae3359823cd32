//! Where weights go and in which types they lie there.

use candle_core::{DType, Device};

use crate::engine::EngineError;
use crate::study::model::{Numbers, Precision};

/// The types of a model on a device.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    /// Type of the matrices; never [`Precision::Native`].
    pub(crate) precision: Precision,
    /// Type of activations, norms, biases and of matrices that stay dense.
    pub(crate) activation: DType,
    /// The device.
    pub(crate) device: Device,
}

impl Placement {
    /// Settles what the checkpoint's own precision means on this device and which activations go with
    /// it: F32 on a CPU and BF16 on a GPU for quantized weights, else the type of the weights.
    ///
    /// candle widens whole bfloat16 matrices on every product on a CPU, so native means F32 there.
    pub(crate) fn new(asked: Precision, native: Precision, device: &Device) -> Self {
        let precision = match asked {
            Precision::Native if native == Precision::Bf16 && device.is_cpu() => Precision::F32,
            Precision::Native => native,
            named => named,
        };
        let activation = match precision.numbers() {
            Numbers::F32 => DType::F32,
            Numbers::F16 => DType::F16,
            Numbers::Bf16 => DType::BF16,
            Numbers::Own | Numbers::Quantized if device.is_cpu() => DType::F32,
            Numbers::Own | Numbers::Quantized => DType::BF16,
        };
        Self {
            precision,
            activation,
            device: device.clone(),
        }
    }
}

/// What it means that candle could not place something.
pub(crate) fn placing_failed(error: candle_core::Error, what: &str) -> EngineError {
    match EngineError::from(error) {
        EngineError::OutOfMemory { detail } => EngineError::OutOfMemory {
            detail: format!("placing {what}: {detail}"),
        },
        EngineError::Device { reason } => EngineError::Device {
            reason: format!("placing {what}: {reason}"),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_bfloat16_is_f32_on_a_cpu() {
        let placement = Placement::new(Precision::Native, Precision::Bf16, &Device::Cpu);
        assert_eq!(placement.precision, Precision::F32);
        assert_eq!(placement.activation, DType::F32);
        let placement = Placement::new(Precision::Bf16, Precision::Bf16, &Device::Cpu);
        assert_eq!(placement.activation, DType::BF16);
    }

    #[test]
    fn quantized_weights_go_with_f32_activations_on_a_cpu() {
        let placement = Placement::new(Precision::Q4K, Precision::Bf16, &Device::Cpu);
        assert_eq!(placement.precision, Precision::Q4K);
        assert_eq!(placement.activation, DType::F32);
    }

    #[test]
    fn memory_that_runs_out_while_placing_is_no_failure_of_the_device() {
        let placing = |text: &str| {
            let error = candle_core::Error::Msg(text.to_owned());
            placing_failed(error, "blk.0.attn_q.weight").to_string()
        };
        assert_eq!(
            placing("CublasError(CUBLAS_STATUS_ALLOC_FAILED)"),
            "out of memory: placing blk.0.attn_q.weight: CublasError(CUBLAS_STATUS_ALLOC_FAILED)"
        );
        assert_eq!(
            placing("shape mismatch\nand a backtrace"),
            "device: placing blk.0.attn_q.weight: shape mismatch"
        );
    }
}
