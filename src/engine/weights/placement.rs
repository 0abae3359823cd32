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
pub(crate) fn placing_failed(error: &candle_core::Error, what: &str) -> EngineError {
    if ran_out_of_memory(error) {
        EngineError::OutOfMemory {
            detail: format!("placing {what}"),
        }
    } else {
        EngineError::Device {
            reason: format!("placing {what}: {}", first_line(error)),
        }
    }
}

fn first_line(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(feature = "cuda")]
fn ran_out_of_memory(error: &candle_core::Error) -> bool {
    use candle_core::cuda_backend::CudaError;
    use candle_core::cuda_backend::cudarc::driver::sys::CUresult;
    match error {
        candle_core::Error::Cuda(cause) => matches!(
            cause.downcast_ref::<CudaError>(),
            Some(CudaError::Cuda(driver)) if driver.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY
        ),
        candle_core::Error::Context { inner, .. }
        | candle_core::Error::WithPath { inner, .. }
        | candle_core::Error::WithBacktrace { inner, .. } => ran_out_of_memory(inner),
        _ => false,
    }
}

/// A process whose own memory runs out is ended by the system; candle has no error for it.
#[cfg(not(feature = "cuda"))]
fn ran_out_of_memory(_error: &candle_core::Error) -> bool {
    false
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
}
