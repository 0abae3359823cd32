//! Floating-point tensors as a file holds them, and their way onto the device.

use candle_core::{DType, Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

/// Elements converted and placed at a time: 64 MiB in F32.
const CHUNK: usize = 16 << 20;
/// Elements that one task converts at a time.
const PIECE: usize = 4096;

/// Element types that files store dense weights in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatKind {
    /// 32-bit floating point.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
}

impl FloatKind {
    /// Bytes of one element.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    const fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// Elements of a file in little-endian order, at any alignment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floats<'a> {
    kind: FloatKind,
    bytes: &'a [u8],
}

impl<'a> Floats<'a> {
    /// Wraps bytes of the file.
    pub(crate) const fn new(kind: FloatKind, bytes: &'a [u8]) -> Self {
        Self { kind, bytes }
    }

    /// Their type.
    pub(crate) const fn kind(&self) -> FloatKind {
        self.kind
    }

    /// Their bytes.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Elements.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.kind.bytes()
    }

    /// Writes the elements from `start` on as F32.
    pub(crate) fn widen(&self, start: usize, out: &mut [f32]) {
        let bytes = self.part(start, out.len()).bytes;
        match self.kind {
            FloatKind::F32 => {
                for (value, raw) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                    *value = f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
                }
            }
            FloatKind::Bf16 => {
                for (value, raw) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                    *value = bf16::from_le_bytes([raw[0], raw[1]]).to_f32();
                }
            }
            FloatKind::F16 => {
                let mut halves = [f16::ZERO; PIECE];
                let pieces = out.chunks_mut(PIECE).zip(bytes.chunks(2 * PIECE));
                for (values, raw) in pieces {
                    let halves = &mut halves[..values.len()];
                    for (half, raw) in halves.iter_mut().zip(raw.chunks_exact(2)) {
                        *half = f16::from_le_bytes([raw[0], raw[1]]);
                    }
                    halves.convert_to_f32_slice(values);
                }
            }
        }
    }

    /// The elements as a flat tensor in host memory.
    fn convert(&self, dtype: DType) -> candle_core::Result<Tensor> {
        if dtype == self.kind.dtype() {
            return Tensor::from_raw_buffer(self.bytes, dtype, &[self.len()], &Device::Cpu);
        }
        match dtype {
            DType::F16 => self.narrow(f16::ZERO, |from, to| to.convert_from_f32_slice(from)),
            DType::BF16 => self.narrow(bf16::ZERO, |from, to| to.convert_from_f32_slice(from)),
            _ => self
                .narrow(0f32, |from, to| to.copy_from_slice(from))?
                .to_dtype(dtype),
        }
    }

    fn narrow<T: candle_core::WithDType>(
        &self,
        zero: T,
        write: impl Fn(&[f32], &mut [T]) + Sync,
    ) -> candle_core::Result<Tensor> {
        let mut out = vec![zero; self.len()];
        out.par_chunks_mut(PIECE)
            .enumerate()
            .for_each(|(index, to)| {
                let mut from = [0f32; PIECE];
                let from = &mut from[..to.len()];
                self.widen(index * PIECE, from);
                write(from, to);
            });
        Tensor::from_vec(out, self.len(), &Device::Cpu)
    }

    fn part(&self, start: usize, len: usize) -> Self {
        let bytes = self.kind.bytes();
        Self {
            kind: self.kind,
            bytes: &self.bytes[start * bytes..(start + len) * bytes],
        }
    }
}

/// One tensor on the device from parts that follow one another, converted chunk by chunk: beyond the
/// tensor itself one chunk is held in host memory and, on a GPU, one on the device.
pub(crate) fn place(
    parts: &[Floats<'_>],
    shape: &[usize],
    dtype: DType,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let total: usize = parts.iter().map(Floats::len).sum();
    let placed = Tensor::zeros(total, dtype, device)?;
    let mut position = 0;
    for part in parts {
        for start in (0..part.len()).step_by(CHUNK) {
            let chunk = part.part(start, CHUNK.min(part.len() - start));
            let chunk = chunk.convert(dtype)?.to_device(device)?;
            placed.slice_set(&chunk, 0, position)?;
            position += chunk.elem_count();
        }
    }
    placed.reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(kind: FloatKind, values: &[f32]) -> Vec<u8> {
        values
            .iter()
            .flat_map(|&value| match kind {
                FloatKind::F32 => value.to_le_bytes().to_vec(),
                FloatKind::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                FloatKind::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
            })
            .collect()
    }

    #[test]
    fn every_conversion_keeps_what_both_types_can_hold() {
        // Multiples of 1/8 below 16 fit the 7 bits of bfloat16's mantissa.
        let values: Vec<f32> = (0..10_000u16)
            .map(|i| f32::from(i % 128) / 8.0 - 8.0)
            .collect();
        for kind in [FloatKind::F32, FloatKind::F16, FloatKind::Bf16] {
            let bytes = bytes_of(kind, &values);
            // One byte of padding puts the elements at an odd address.
            let padded: Vec<u8> = std::iter::once(0).chain(bytes).collect();
            let floats = Floats::new(kind, &padded[1..]);
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let parts = [floats.part(0, 6000), floats.part(6000, 4000)];
                let placed = place(&parts, &[100, 100], dtype, &Device::Cpu).unwrap();
                assert_eq!(placed.dtype(), dtype);
                let read = placed.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
                assert_eq!(read.to_vec1::<f32>().unwrap(), values, "{kind:?} {dtype:?}");
            }
        }
    }
}
