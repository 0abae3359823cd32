//! The simulated engine at work.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::script::{Fault, FaultKind, Script, Stage};
use super::timeline::Timeline;
use crate::clock::Clock;
use crate::engine::{
    Capacity, Engine, EngineError, Logits, MeasurePeaks, Progress, Prompts, Scorer, TokenId, Trace,
    Visit,
};
use crate::record::machine::{Limit, Peak};
use crate::record::observation::{Accuracy, EngineFacts};
use crate::study::model::{CacheType, Precision};
use crate::study::variant::Variant;
use crate::units::Nanos;

/// Exit code of the fault `exit`.
const EXIT_CODE: i32 = 3;

/// Work after the last token under the fault `slow_tail`, as a share of the generation.
const SLOW_TAIL: f64 = 0.1;

/// Sum of this many uniform numbers, less half of it, has variance 1 and is close enough to normal.
const UNIFORMS: usize = 12;

/// An engine whose time passes as its script says.
pub struct Sim {
    script: Script,
    variant: Variant,
    timeline: Timeline,
    capacity: Option<Capacity>,
    peak: u64,
    generations: u64,
}

/// What a fault makes of a generation that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twist {
    None,
    SlowTail,
    WrongCount,
    Inaccurate,
}

impl Sim {
    /// Where the timeline begins.
    pub const START: Nanos = Nanos::new(1_000_000_000);

    /// Loads the scripted model, which takes the scripted time.
    pub fn load(script: Script, variant: Variant, timeline: Timeline) -> Result<Self, EngineError> {
        let mut sim = Self {
            script,
            variant,
            timeline,
            capacity: None,
            peak: 0,
            generations: 0,
        };
        sim.strike(Stage::Load, None)?;
        sim.wait(sim.script.model.load_ms * 1e3);
        sim.occupy(0)?;
        Ok(sim)
    }

    /// Size of the vocabulary.
    pub fn vocab(&self) -> u32 {
        self.script.model.vocab
    }

    fn weight_bytes(&self) -> u64 {
        (self.script.model.parameters as f64 * self.bits_per_weight() / 8.0) as u64
    }

    /// A checkpoint's own precision is taken to be a 16-bit one.
    fn bits_per_weight(&self) -> f64 {
        self.variant
            .precision
            .block()
            .map_or(16.0, |block| block.bytes as f64 * 8.0 / block.length as f64)
    }

    /// The script states it for single precision.
    fn kv_bytes_per_token(&self) -> u64 {
        let scripted = self.script.model.kv_bytes_per_token;
        let asked = self.variant.kv;
        asked.map_or(scripted, |kv| kv.bytes(scripted / 4))
    }

    fn kv_bytes(&self) -> u64 {
        self.capacity.map_or(0, |capacity| {
            u64::from(capacity.batch) * u64::from(capacity.context) * self.kv_bytes_per_token()
        })
    }

    /// What a cache of choice adds to the relative error of the weights.
    fn cache_error(&self) -> f64 {
        let bits = |kv: CacheType| kv.bytes(32) as f64 / 4.0;
        self.variant.kv.map_or(0.0, |kv| (-bits(kv)).exp2())
    }

    /// Lets time pass.
    fn wait(&self, microseconds: f64) {
        let nanoseconds = (microseconds * 1e3).round() as u64;
        self.timeline.pass(Nanos::new(nanoseconds));
    }

    /// Takes memory beyond weights and cache for a moment.
    fn occupy(&mut self, activations: u64) -> Result<(), EngineError> {
        let needed = self.weight_bytes() + self.kv_bytes() + activations;
        let memory = self.script.device.memory_bytes;
        if needed > memory {
            let detail = format!("{needed} bytes needed, the device has {memory}");
            return Err(EngineError::OutOfMemory { detail });
        }
        self.peak = self.peak.max(needed);
        Ok(())
    }

    /// Lets the first fault strike that applies.
    fn strike(&mut self, stage: Stage, batch: Option<u32>) -> Result<Twist, EngineError> {
        let done = self.generations;
        let applies = |fault: &&Fault| {
            fault.after <= done && fault.strikes(stage, batch, self.variant.precision)
        };
        let Some(fault) = self.script.fault.iter().find(applies) else {
            return Ok(Twist::None);
        };
        match fault.kind {
            FaultKind::Oom => Err(EngineError::OutOfMemory {
                detail: format!("scripted at batch {}", batch.unwrap_or(0)),
            }),
            FaultKind::NotANumber => Err(EngineError::NotFinite { step: 0 }),
            FaultKind::Unsupported => Err(EngineError::Unsupported {
                reason: "scripted".to_owned(),
            }),
            FaultKind::SlowTail => Ok(Twist::SlowTail),
            FaultKind::WrongCount => Ok(Twist::WrongCount),
            FaultKind::Inaccurate => Ok(Twist::Inaccurate),
            FaultKind::Panic => panic!("scripted panic"),
            FaultKind::Abort => std::process::abort(),
            FaultKind::Exit => std::process::exit(EXIT_CODE),
            FaultKind::Segfault => loop {
                // The first one only takes Rust's own handler away.
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::SEGV,
                );
            },
            FaultKind::Hang => loop {
                std::thread::park();
            },
        }
    }

    /// A generator that depends on the prompts alone, so that no order of points changes a result.
    fn random(&self, prompts: &Prompts) -> ChaCha8Rng {
        let mut seed = self.script.time.seed;
        for &id in prompts.ids() {
            seed = seed
                .rotate_left(5)
                .wrapping_add(u64::from(id))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// Factor on the times of one generation.
    fn speed(&self, random: &mut ChaCha8Rng) -> f64 {
        let sum: f64 = (0..UNIFORMS).map(|_| random.random::<f64>()).sum();
        let normal = sum - UNIFORMS as f64 / 2.0;
        let factor = self.script.time.factor(self.variant.precision);
        factor * (1.0 + self.script.time.noise * normal)
    }

    fn room(&self, prompts: &Prompts, tokens: usize) -> Result<(), EngineError> {
        let fits = self.capacity.is_some_and(|capacity| {
            prompts.batch() <= capacity.batch as usize
                && prompts.length() + tokens <= capacity.context as usize
        });
        if fits {
            return Ok(());
        }
        Err(EngineError::Unsupported {
            reason: format!(
                "{} × ({} + {tokens}) tokens are more than was reserved",
                prompts.batch(),
                prompts.length()
            ),
        })
    }
}

/// Spread of the scripted logits: the most probable of a few hundred tokens gets about half.
const SHARPNESS: f64 = 8.0;

impl Scorer for Sim {
    /// Logits that depend on the tokens so far, with an error that halves with each bit per weight and
    /// with each bit of a cache of choice.
    fn score(
        &mut self,
        window: &[TokenId],
        first: usize,
        progress: &Progress,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        let prompts = Prompts::new(window.to_vec(), 1);
        let prompts = prompts.ok_or_else(|| EngineError::Unsupported {
            reason: "an empty window".to_owned(),
        })?;
        self.room(&prompts, 0)?;
        self.strike(Stage::Score, Some(1))?;
        let vocabulary = self.script.model.vocab.max(1) as usize;
        let error = SHARPNESS * ((-self.bits_per_weight()).exp2() + self.cache_error());
        for place in first..window.len().saturating_sub(1) {
            let so_far = Prompts::new(window[..=place].to_vec(), 1);
            let mut random = so_far.map_or_else(|| self.random(&prompts), |p| self.random(&p));
            let mut uniform = || random.random::<f64>() - 0.5;
            let values: Vec<f32> = (0..vocabulary)
                .map(|_| (SHARPNESS * uniform() + error * uniform()) as f32)
                .collect();
            visit(Logits {
                first: place,
                vocabulary,
                values: &values,
            })?;
        }
        self.wait(self.script.time.prefill(window.len() as f64));
        progress.step();
        Ok(())
    }
}

impl Engine for Sim {
    fn describe(&self) -> EngineFacts {
        let model = &self.script.model;
        EngineFacts {
            weight_type: self.variant.precision.word().to_owned(),
            bits_per_weight: self.bits_per_weight(),
            activation_dtype: "f32".to_owned(),
            kv_dtype: self.variant.kv.unwrap_or(CacheType::F32).to_string(),
            weight_bytes: self.weight_bytes(),
            weight_bytes_per_step: self.weight_bytes(),
            kv_bytes_per_token: self.kv_bytes_per_token(),
            kv_allocated_bytes: self.kv_bytes(),
            flop_per_token: 2 * model.parameters,
            flop_per_token_and_context: model.flop_per_token_and_context,
            resident_bytes: None,
            peak_resident_bytes: None,
        }
    }

    fn reserve(&mut self, capacity: Capacity) -> Result<(), EngineError> {
        self.capacity = None;
        self.strike(Stage::Reserve, Some(capacity.batch))?;
        self.capacity = Some(capacity);
        self.occupy(0)
    }

    fn generate(
        &mut self,
        prompts: &Prompts,
        tokens: usize,
        clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<Trace, EngineError> {
        self.room(prompts, tokens)?;
        let twist = self.strike(Stage::Generate, Some(prompts.batch() as u32))?;
        self.generations += 1;
        let in_prompts = prompts.ids().len() as u64;
        self.occupy(in_prompts * self.script.model.activation_bytes_per_token)?;

        let mut random = self.random(prompts);
        let speed = self.speed(&mut random);
        let (batch, length) = (prompts.batch() as f64, prompts.length() as f64);
        let t0 = clock.now();
        let mut arrivals = Vec::with_capacity(tokens);
        for k in 0..tokens {
            let microseconds = match k {
                0 => self.script.time.prefill(batch * length),
                _ => self.script.time.step(batch, length + k as f64),
            };
            self.wait((microseconds * speed).max(1e-3));
            progress.step();
            arrivals.push(clock.now());
        }
        let mut ids: Vec<TokenId> = (0..prompts.batch() * tokens)
            .map(|_| random.random_range(0..self.script.model.vocab.max(1)))
            .collect();
        match twist {
            Twist::None | Twist::Inaccurate => {}
            Twist::SlowTail => {
                let past = clock.now().since(t0).unwrap_or(Nanos::new(0));
                self.wait(past.seconds().milliseconds() * 1e3 * SLOW_TAIL);
            }
            Twist::WrongCount => {
                ids.pop();
            }
        }
        Ok(Trace {
            t0,
            arrivals,
            end: clock.now(),
            device: None,
            ids,
        })
    }

    fn check(&mut self, prompts: &Prompts, progress: &Progress) -> Result<Accuracy, EngineError> {
        let batch = prompts.batch() as u32;
        let twist = self.strike(Stage::Check, Some(batch))?;
        progress.step();
        let scripted = &self.script.accuracy;
        let relative_error = match twist {
            Twist::None | Twist::SlowTail | Twist::WrongCount => scripted.relative_error,
            Twist::Inaccurate => scripted.bound * 2.0,
        };
        Ok(Accuracy {
            batch,
            relative_error: Some(relative_error),
            bound: scripted.bound,
            reference_on: None,
        })
    }

    fn peak_memory(&mut self) -> Option<u64> {
        let peak = self.peak;
        self.peak = self.weight_bytes() + self.kv_bytes();
        Some(peak)
    }
}

/// Sizes of the buffers whose bandwidth is measured.
const BUFFERS: [u64; 3] = [64 << 20, 256 << 20, 1 << 30];

/// Rows and columns of the matrices.
const MATRIX: u32 = 4096;

/// Repetitions of each measurement.
const REPETITIONS: usize = 8;

impl MeasurePeaks for Sim {
    fn peaks(
        &mut self,
        dtypes: &[Precision],
        _clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<Vec<Peak>, EngineError> {
        self.strike(Stage::Peaks, None)?;
        let scripted = self.script.peaks.clone();
        let measure = |of, work: u64, per_second: f64| {
            let time = Nanos::new((work as f64 / per_second * 1e9).round() as u64);
            for _ in 0..REPETITIONS {
                self.timeline.pass(time);
                progress.step();
            }
            Peak {
                of,
                work,
                times_ns: vec![time; REPETITIONS],
            }
        };
        let mut peaks = Vec::new();
        for buffer_bytes in BUFFERS {
            let read = Limit::Read { buffer_bytes };
            peaks.push(measure(read, buffer_bytes, scripted.read_bytes_per_second));
            let copy = Limit::Copy { buffer_bytes };
            peaks.push(measure(
                copy,
                2 * buffer_bytes,
                scripted.copy_bytes_per_second,
            ));
        }
        for &dtype in dtypes {
            let of = Limit::Matmul {
                dtype,
                size: MATRIX,
            };
            let work = 2 * u64::from(MATRIX).pow(3);
            peaks.push(measure(of, work, scripted.flop_per_second));
        }
        Ok(peaks)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Manual;

    fn sim(text: &str) -> (Sim, Arc<Manual>) {
        let timeline = Arc::new(Manual::new(Sim::START));
        let script = Script::parse(text).unwrap();
        let sim = Sim::load(
            script,
            Precision::Q8_0.into(),
            Timeline::Script(Arc::clone(&timeline)),
        )
        .unwrap();
        (sim, timeline)
    }

    fn generate(sim: &mut Sim, timeline: &Manual, ids: Vec<u32>) -> Result<Trace, EngineError> {
        let prompts = Prompts::new(ids, 2).unwrap();
        let capacity = Capacity {
            batch: 2,
            context: 16,
        };
        sim.reserve(capacity)?;
        sim.generate(&prompts, 3, timeline, &Progress::default())
    }

    #[test]
    fn time_passes_as_the_script_says() {
        let (mut sim, timeline) = sim(
            "[time]\nprefill_us = 100.0\nprefill_us_per_token = 2.0\nstep_us = 10.0\n\
             step_us_per_sequence = 1.0\nstep_us_per_token = 0.5\n[time.factor]\nq8_0 = 2.0",
        );
        // Loading takes 100 ms.
        assert_eq!(timeline.now(), Nanos::new(1_100_000_000));
        let trace = generate(&mut sim, &timeline, vec![0; 8]).unwrap();
        let from_t0: Vec<u64> = trace
            .arrivals
            .iter()
            .map(|at| at.since(trace.t0).unwrap().value())
            .collect();
        // 2 × (100 + 2·8) µs; 2 × (10 + 2 + 0.5·2·5) µs; 2 × (10 + 2 + 0.5·2·6) µs.
        assert_eq!(from_t0, [232_000, 266_000, 302_000]);
        assert_eq!(trace.end, *trace.arrivals.last().unwrap());
        assert_eq!(trace.ids.len(), 6);
    }

    #[test]
    fn noise_and_ids_depend_on_the_prompts_alone() {
        let (mut first, timeline) = sim("[time]\nnoise = 0.05");
        let a = generate(&mut first, &timeline, vec![1; 8]).unwrap();
        let b = generate(&mut first, &timeline, vec![2; 8]).unwrap();
        let (mut second, timeline) = sim("[time]\nnoise = 0.05");
        let c = generate(&mut second, &timeline, vec![1; 8]).unwrap();
        let length = |trace: &Trace| trace.end.since(trace.t0).unwrap();
        assert_eq!((length(&a), &a.ids), (length(&c), &c.ids));
        assert_ne!((length(&a), &a.ids), (length(&b), &b.ids));
    }

    #[test]
    fn memory_is_weights_and_cache_and_activations() {
        // 1,000 weights at 8.5 bits, 10 bytes × 2 × 16 of cache, 8 × 8 of activations.
        let model = "[model]\nparameters = 1000\nkv_bytes_per_token = 10\n\
                     activation_bytes_per_token = 8\n";
        let (mut sim_that_fits, timeline) = sim(&format!("{model}[device]\nmemory_bytes = 1446"));
        generate(&mut sim_that_fits, &timeline, vec![0; 8]).unwrap();
        assert_eq!(sim_that_fits.describe().weight_bytes, 1062);
        assert_eq!(sim_that_fits.describe().kv_allocated_bytes, 320);
        assert_eq!(sim_that_fits.peak_memory(), Some(1446));
        assert_eq!(sim_that_fits.peak_memory(), Some(1382));

        let (mut sim_that_does_not, timeline) =
            sim(&format!("{model}[device]\nmemory_bytes = 1445"));
        let error = generate(&mut sim_that_does_not, &timeline, vec![0; 8]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "out of memory: 1446 bytes needed, the device has 1445"
        );
    }

    #[test]
    fn a_fault_strikes_where_and_when_it_is_scripted() {
        let (mut sim, timeline) = sim("[[fault]]\nkind = \"not_a_number\"\nbatch_from = 2\n\
                                       precision = \"q8_0\"\nafter = 1");
        generate(&mut sim, &timeline, vec![0; 8]).unwrap();
        let error = generate(&mut sim, &timeline, vec![0; 8]).unwrap_err();
        assert!(matches!(error, EngineError::NotFinite { .. }));
        let one_row = Prompts::new(vec![0; 4], 1).unwrap();
        let seen = sim.generate(&one_row, 3, timeline.as_ref(), &Progress::default());
        assert!(seen.is_ok(), "batch 1 is below the fault");
    }

    #[test]
    fn the_scripted_limits_are_what_is_measured() {
        let (mut sim, timeline) = sim("[peaks]\nread_bytes_per_second = 1073741824.0");
        let peaks = sim
            .peaks(&[Precision::F32], timeline.as_ref(), &Progress::default())
            .unwrap();
        assert_eq!(peaks.len(), 7);
        assert_eq!(peaks[4].work, 1 << 30);
        assert_eq!(peaks[4].times_ns, [Nanos::new(1_000_000_000); 8]);
    }

    #[test]
    fn the_documented_script_is_the_default() {
        let documented: String = include_str!("mod.rs")
            .lines()
            .skip_while(|line| !line.contains("```toml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| line.trim_start_matches("//!").trim_start())
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(Script::parse(&documented).unwrap(), Script::default());
        // The fault is a comment there; what it says has to parse too.
        let fault: String = documented
            .lines()
            .skip_while(|line| !line.contains("[[fault]]"))
            .map(|line| line.trim_start_matches("# "))
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(Script::parse(&fault).unwrap().fault.len(), 1);
    }
}
