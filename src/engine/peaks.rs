//! What a device can do at most: reading, copying and multiplying, measured on it.
//!
//! - Reading on a CPU: all threads sum a buffer of `u64` once. On a card: whichever is faster of candle's
//!   sum of every row of a BF16 matrix, a block of threads to each, and cuBLAS's product of a vector with
//!   that matrix; both read it once and write next to nothing. A sum over all elements would be one block
//!   on one multiprocessor.
//! - Copying: every byte is read once and written once, and both count. On a card the driver copies.
//! - Multiplying: square matrices through the product that the engine uses for that type; a quantized
//!   type multiplies F32 rows with quantized blocks.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{D, DType, Device, Tensor};

use super::kernels::stream;
use super::{EngineError, MeasurePeaks, Progress, device};
use crate::clock::Clock;
use crate::record::machine::{Limit, Peak};
use crate::study::model::Precision;
use crate::units::Nanos;

/// Buffers on a CPU: one within the caches of most, and ones beyond.
const CPU_BUFFERS: [u64; 5] = [1 << 20, 4 << 20, 32 << 20, 128 << 20, 256 << 20];
/// Buffers on a card: one within the last-level cache of a large one, and ones beyond, up to a size at
/// which launches no longer show and which an index of 32 bits still covers.
const CUDA_BUFFERS: [u64; 4] = [16 << 20, 128 << 20, 1 << 30, 2 << 30];
/// Numbers in a row of the matrix that is read: 64 KiB, some loads for each thread of a block.
const CUDA_ROW: usize = 32 << 10;
/// Rows and columns of the square matrices.
const CPU_SIZE: usize = 1024;
const CUDA_SIZE: usize = 8192;
/// Share of a CPU's memory that one buffer may take: copying holds two, beside everything else that runs.
const CPU_SHARE: u64 = 8;
/// Repetitions of each measurement after one that is not counted.
const REPETITIONS: usize = 5;
/// Shortest time of one repetition on a card; shorter work is repeated within it, because the clock and
/// the wait for the device cost some microseconds.
const CUDA_SHORTEST: f64 = 1e-2;
/// How long a card multiplies before anything counts: its clocks rise from rest under load only.
const CUDA_WARM_UP: f64 = 0.3;
/// Shortest time of one repetition on a CPU.
const CPU_SHORTEST: f64 = 5e-4;
/// Most often that work is repeated within one repetition.
const MOST_LAPS: u64 = 1000;

/// Measures the limits of one device.
pub(crate) struct Peaks {
    device: Device,
}

impl Peaks {
    /// Peaks of `device`.
    pub(crate) fn new(device: Device) -> Self {
        Self { device }
    }

    /// Sizes of the buffers that are read and copied.
    fn buffers(&self) -> Vec<u64> {
        if self.device.is_cpu() {
            that_fit(&CPU_BUFFERS, device::host::memory_bytes())
        } else {
            CUDA_BUFFERS.to_vec()
        }
    }

    /// Times `work` a few times, as often within each as makes it long enough.
    fn time(
        &self,
        (clock, progress): (&dyn Clock, &Progress),
        mut work: impl FnMut() -> Result<(), EngineError>,
    ) -> Result<(u64, Vec<Nanos>), EngineError> {
        let mut lap = |laps: u64| -> Result<Nanos, EngineError> {
            self.device.synchronize()?;
            let start = clock.now();
            for _ in 0..laps {
                work()?;
            }
            self.device.synchronize()?;
            progress.step();
            clock.now().since(start).ok_or_else(|| EngineError::Device {
                reason: "the clock ran backwards".to_owned(),
            })
        };
        lap(1)?;
        let once = lap(1)?.seconds().value();
        let shortest = if self.device.is_cpu() {
            CPU_SHORTEST
        } else {
            CUDA_SHORTEST
        };
        let laps = ((shortest / once.max(1e-9)).ceil() as u64).clamp(1, MOST_LAPS);
        let times = (0..REPETITIONS)
            .map(|_| lap(laps))
            .collect::<Result<_, _>>()?;
        Ok((laps, times))
    }

    fn read(&self, bytes: u64, timing: (&dyn Clock, &Progress)) -> Result<Peak, EngineError> {
        let (laps, times_ns) = if self.device.is_cpu() {
            let buffer = stream::buffer(bytes)?;
            self.time(timing, || {
                std::hint::black_box(stream::sum(&buffer));
                Ok(())
            })?
        } else {
            self.read_tensor(bytes, timing)?
        };
        Ok(Peak {
            of: Limit::Read {
                buffer_bytes: bytes,
            },
            work: laps * bytes,
            times_ns,
        })
    }

    /// The faster way of reading a matrix of this size.
    fn read_tensor(
        &self,
        bytes: u64,
        timing: (&dyn Clock, &Progress),
    ) -> Result<(u64, Vec<Nanos>), EngineError> {
        let matrix = matrix(bytes, &self.device)?;
        let vector = matrix.narrow(0, 0, 1)?;
        let sums = self.time(timing, || Ok(matrix.sum(D::Minus1).map(drop)?))?;
        let products = self.time(timing, || Ok(vector.matmul(&matrix.t()?).map(drop)?))?;
        Ok(faster(sums, products))
    }

    fn copy(&self, bytes: u64, timing: (&dyn Clock, &Progress)) -> Result<Peak, EngineError> {
        let (laps, times_ns) = if self.device.is_cpu() {
            let from = stream::buffer(bytes)?;
            let mut to = stream::buffer(bytes)?;
            self.time(timing, || {
                stream::copy(&from, &mut to);
                std::hint::black_box(&to);
                Ok(())
            })?
        } else {
            let from = matrix(bytes, &self.device)?;
            self.time(timing, || Ok(from.copy().map(drop)?))?
        };
        Ok(Peak {
            of: Limit::Copy {
                buffer_bytes: bytes,
            },
            work: 2 * laps * bytes,
            times_ns,
        })
    }

    /// Multiplies until the clocks of a card are up.
    fn warm_up(&self, (clock, progress): (&dyn Clock, &Progress)) -> Result<(), EngineError> {
        if self.device.is_cpu() {
            return Ok(());
        }
        let square = matrix((2 * CUDA_ROW * 4096) as u64, &self.device)?;
        let begin = clock.now();
        loop {
            square.matmul(&square.t()?)?;
            self.device.synchronize()?;
            progress.step();
            let past = clock.now().since(begin).map(Nanos::seconds);
            if past.is_none_or(|past| past.value() >= CUDA_WARM_UP) {
                return Ok(());
            }
        }
    }

    fn matmul(
        &self,
        precision: Precision,
        timing: (&dyn Clock, &Progress),
    ) -> Result<Peak, EngineError> {
        let size = if self.device.is_cpu() {
            CPU_SIZE
        } else {
            CUDA_SIZE
        };
        let random = || Tensor::randn(0f32, 1f32, (size, size), &self.device);
        let (laps, times_ns) = match kind(precision) {
            Kind::Dense(dtype) => {
                let (a, b) = (random()?.to_dtype(dtype)?, random()?.to_dtype(dtype)?.t()?);
                self.time(timing, || Ok(a.matmul(&b).map(drop)?))?
            }
            Kind::Quantized(dtype) => {
                let a = random()?;
                let b = Arc::new(tiled(size, dtype, &self.device)?);
                self.time(timing, || Ok(a.apply_op1_no_bwd(b.as_ref()).map(drop)?))?
            }
        };
        let work = laps * 2 * (size as u64).pow(3);
        Ok(Peak {
            of: Limit::Matmul {
                dtype: precision,
                size: size as u32,
            },
            work,
            times_ns,
        })
    }
}

impl MeasurePeaks for Peaks {
    fn peaks(
        &mut self,
        dtypes: &[Precision],
        clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<Vec<Peak>, EngineError> {
        let timing = (clock, progress);
        let mut peaks = Vec::new();
        where_there_is_room(self.warm_up(timing))?;
        for bytes in self.buffers() {
            for measure in [Self::read, Self::copy] {
                peaks.extend(where_there_is_room(measure(self, bytes, timing))?);
            }
        }
        let mut dtypes = dtypes.to_vec();
        dtypes.dedup();
        let device = self.device.clone();
        for precision in dtypes {
            let measured = device.with_context(|| self.matmul(precision, timing));
            peaks.extend(where_there_is_room(measured)?);
        }
        device::launched(&device)?;
        Ok(peaks)
    }
}

/// The buffers of `sizes` of which two fit beside everything else on a CPU with this memory.
fn that_fit(sizes: &[u64], memory: u64) -> Vec<u64> {
    let fit = |bytes: &u64| *bytes <= memory / CPU_SHARE;
    sizes.iter().copied().filter(fit).collect()
}

/// Nothing where memory ran out: on a smaller card, or one that is not empty, what fits stands.
fn where_there_is_room<T>(measured: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match measured {
        Ok(it) => Ok(Some(it)),
        Err(EngineError::OutOfMemory { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// A matrix of ones that fills a buffer, in rows that a block of threads reads.
fn matrix(bytes: u64, device: &Device) -> Result<Tensor, EngineError> {
    let rows = bytes as usize / DType::BF16.size_in_bytes() / CUDA_ROW;
    Ok(Tensor::ones((rows, CUDA_ROW), DType::BF16, device)?)
}

/// Of two ways of doing the same, the one with the fastest lap.
fn faster(one: (u64, Vec<Nanos>), other: (u64, Vec<Nanos>)) -> (u64, Vec<Nanos>) {
    let lap = |(laps, times): &(u64, Vec<Nanos>)| {
        let fastest = times.iter().min();
        fastest.map_or(f64::INFINITY, |time| time.seconds().value() / *laps as f64)
    };
    if lap(&one) <= lap(&other) { one } else { other }
}

/// How a precision multiplies.
enum Kind {
    Dense(DType),
    Quantized(GgmlDType),
}

fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::Native | Precision::F32 => Kind::Dense(DType::F32),
        Precision::F16 => Kind::Dense(DType::F16),
        Precision::Bf16 => Kind::Dense(DType::BF16),
        Precision::Q8_0 => Kind::Quantized(GgmlDType::Q8_0),
        Precision::Q6K => Kind::Quantized(GgmlDType::Q6K),
        Precision::Q5K => Kind::Quantized(GgmlDType::Q5K),
        Precision::Q4K => Kind::Quantized(GgmlDType::Q4K),
        Precision::Q3K => Kind::Quantized(GgmlDType::Q3K),
        Precision::Q2K => Kind::Quantized(GgmlDType::Q2K),
        Precision::Q5_1 => Kind::Quantized(GgmlDType::Q5_1),
        Precision::Q5_0 => Kind::Quantized(GgmlDType::Q5_0),
        Precision::Q4_1 => Kind::Quantized(GgmlDType::Q4_1),
        Precision::Q4_0 => Kind::Quantized(GgmlDType::Q4_0),
    }
}

/// A square quantized matrix, one random row of blocks repeated: quantizing is slow, multiplying does
/// not care.
fn tiled(size: usize, dtype: GgmlDType, device: &Device) -> Result<QTensor, EngineError> {
    let row = Tensor::randn(0f32, 1f32, (1, size), &Device::Cpu)?;
    let row = QTensor::quantize(&row, dtype)?;
    let blocks = row.data()?.repeat(size);
    let storage = candle_core::quantized::QStorage::from_data(blocks.into(), device, dtype)?;
    Ok(QTensor::new(storage, (size, size))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;

    #[test]
    fn every_limit_of_a_cpu_is_measured_with_its_work() {
        let dtypes = [Precision::F32, Precision::Q4K];
        let progress = Progress::default();
        let peaks = Peaks::new(Device::Cpu);
        let timing: (&dyn Clock, &Progress) = (&Monotonic, &progress);
        let read = peaks.read(1 << 20, timing).unwrap();
        assert_eq!(read.work % (1 << 20), 0);
        assert_eq!(read.times_ns.len(), REPETITIONS);
        let copy = peaks.copy(1 << 20, timing).unwrap();
        assert_eq!(copy.work % (2 << 20), 0);
        for dtype in dtypes {
            let peak = peaks.matmul(dtype, timing).unwrap();
            assert_eq!(peak.of, Limit::Matmul { dtype, size: 1024 });
            assert!(peak.times_ns.iter().all(|time| time.value() > 0));
        }
        assert!(progress.steps() > 0);
    }

    #[test]
    fn a_cpu_with_little_memory_is_measured_with_smaller_buffers() {
        assert_eq!(that_fit(&CPU_BUFFERS, 600 << 20), CPU_BUFFERS[..3]);
        assert_eq!(that_fit(&CPU_BUFFERS, 16 << 30), CPU_BUFFERS);
        assert!(that_fit(&CPU_BUFFERS, 0).is_empty());
    }

    #[test]
    fn a_limit_that_does_not_fit_leaves_the_others() {
        let full = Err::<u8, _>(EngineError::OutOfMemory {
            detail: "no room".to_owned(),
        });
        assert!(matches!(where_there_is_room(full), Ok(None)));
        assert!(matches!(where_there_is_room(Ok(1)), Ok(Some(1))));
        let broken = Err::<u8, _>(EngineError::NotFinite { step: 0 });
        assert!(where_there_is_room(broken).is_err());
    }

    #[test]
    fn every_buffer_of_a_card_is_a_matrix_that_an_index_of_32_bits_covers() {
        for bytes in CUDA_BUFFERS {
            let row = (CUDA_ROW * DType::BF16.size_in_bytes()) as u64;
            assert_eq!(bytes % row, 0, "{bytes}");
            // Blocks of the sum are as many as rows; a card has up to 160 multiprocessors.
            assert!(bytes / row >= 256, "{bytes}");
            assert!(bytes / 2 <= 1 << 30, "{bytes}");
        }
        let small = matrix(4 * (64 << 10), &Device::Cpu).unwrap();
        assert_eq!(small.dims(), [4, CUDA_ROW]);
    }

    #[test]
    fn the_product_that_reads_a_matrix_reads_every_number() {
        let matrix = matrix(3 * (64 << 10), &Device::Cpu).unwrap();
        let expected = vec![CUDA_ROW as f32; 3];
        let numbers = |t: Tensor| {
            let flat = t.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            flat.to_vec1::<f32>().unwrap()
        };
        let product = matrix.narrow(0, 0, 1).unwrap();
        let product = product.matmul(&matrix.t().unwrap()).unwrap();
        assert_eq!(numbers(product), expected);
        let peaks = Peaks::new(Device::Cpu);
        let progress = Progress::default();
        let timing: (&dyn Clock, &Progress) = (&Monotonic, &progress);
        let (laps, times) = peaks.read_tensor(3 * (64 << 10), timing).unwrap();
        assert!(laps > 0 && times.iter().all(|time| time.value() > 0));
    }

    #[test]
    fn the_faster_way_is_told_by_its_lap() {
        let times = |ns: &[u64]| ns.iter().copied().map(Nanos::new).collect::<Vec<_>>();
        let slow = (1, times(&[300, 200]));
        let fast = (10, times(&[1_500, 1_900]));
        assert_eq!(faster(slow.clone(), fast.clone()), fast);
        assert_eq!(faster(fast.clone(), slow), fast);
    }

    #[test]
    fn a_sum_reads_every_word_and_a_copy_moves_it() {
        let mut from = stream::buffer(8 * 1003).unwrap();
        for (index, word) in from.iter_mut().enumerate() {
            *word = index as u64;
        }
        assert_eq!(stream::sum(&from), 1002 * 1003 / 2);
        let mut to = stream::buffer(8 * 1003).unwrap();
        stream::copy(&from, &mut to);
        assert_eq!(from, to);
    }
}
