//! What fits into cards, and how fast they can be.

use super::super::fixture::{Book, Files, guide_with, llama_70b, solve, try_with};
use super::Table;
use mtok::catalog::book::{GpuCard, PriceBook as _};
use mtok::cost::allocation::{Method, Mix};
use mtok::cost::capacity::{Rates, Work};
use mtok::cost::memory::{
    Fit, Footprint, GIB, Room, conservative_overhead_gib, latent_kv_bytes_per_token, weight_bytes,
};
use mtok::cost::roofline::{Burden, Cards, Expected, Roofline, Step, prefill};
use mtok::study::model::{Precision, Shape};
use mtok::units::{TokensPerSecond, UsdPerHour};
use serde_json::{Map, Value, json};

/// Parameters, layers and heads of keys and values; every head is 128 wide.
const MODELS: [(&str, f64, u32, u32); 5] = [
    ("llama3.1-8b", 8_030_261_248.0, 32, 8),
    ("qwen3-32b", 32_762_123_264.0, 64, 8),
    ("llama3.1-70b", 70_553_706_496.0, 80, 8),
    ("llama3.1-405b", 405_853_388_800.0, 126, 8),
    ("mixtral-8x7b", 46_702_792_704.0, 32, 8),
];

/// Bits per weight: of blocks, and of files that mix them, measured.
const BITS: [(&str, f64); 12] = [
    ("fp16/bf16", 16.0),
    ("fp8/int8", 8.0),
    ("Q8_0", 8.5),
    ("Q6_K", 6.5633),
    ("Q5_K_M", 5.7036),
    ("Q4_K_M", 4.8944),
    ("IQ4_XS", 4.4597),
    ("Q4_0/Q4_K block", 4.5),
    ("MXFP4", 4.25),
    ("Q3_K_M~", 3.9),
    ("Q2_K", 3.1593),
    ("IQ2_XXS", 2.3824),
];

const FP16: f64 = 16.0;
const INT8: f64 = 8.0;
const Q4_K_M: f64 = 4.8944;

fn kv_bytes(layers: u32, kv_heads: u32) -> f64 {
    let shape = Shape {
        layers,
        kv_heads,
        ..llama_70b()
    };
    Footprint::of(&shape, Precision::F16, Precision::F16, 1).kv_bytes_per_token
}

/// A model by its name at so many bits per weight.
fn footprint(model: &str, bits: f64) -> Footprint {
    let (_, parameters, layers, heads) = MODELS.iter().find(|row| row.0 == model).unwrap();
    Footprint {
        weight_bytes: weight_bytes(*parameters, bits),
        kv_bytes_per_token: kv_bytes(*layers, *heads),
    }
}

pub(super) fn g12_weights_and_cache_in_memory() -> Table {
    let mut table = Table::default();
    assert_eq!(llama_70b().parameters(), 70_553_706_496);
    for (model, _, layers, heads) in MODELS {
        table.put(
            format!("g12.kv_bytes_per_token.{model}"),
            kv_bytes(layers, heads),
        );
        let sizes: Map<String, Value> = BITS
            .iter()
            .map(|(name, bits)| {
                let gib = footprint(model, *bits).weight_bytes / GIB;
                ((*name).to_owned(), json!(gib))
            })
            .collect();
        table.put(format!("g12.weights_gib.{model}"), sizes);
    }
    table.put("g12.kv_bytes_per_token.llama2-7b(MHA)", kv_bytes(32, 32));
    table.put(
        "g12.kv_bytes_per_token.deepseek-v3(MLA)",
        latent_kv_bytes_per_token(61, 512, 64, 16.0),
    );
    table
}

fn put_fit(table: &mut Table, name: &str, fit: Fit) {
    table.put(
        format!("g12.fit.{name}"),
        json!({
            "weights_gib": fit.weights_gib,
            "kv_gib": fit.kv_gib,
            "kv_tokens": fit.kv_tokens,
            "seqs_650": (fit.kv_tokens / 650.0).floor(),
            "seqs_4150": (fit.kv_tokens / 4_150.0).floor(),
        }),
    );
}

pub(super) fn g12_a_model_in_its_cards() -> Table {
    const A100_80: f64 = 81_920.0;
    const A100_40: f64 = 40_960.0;
    const H200: f64 = 143_771.0;
    let mut table = Table::default();
    let room = |gpus: u32, mib: f64| Room {
        gpus: f64::from(gpus),
        gib_per_gpu: mib / 1_024.0,
        utilization: 0.9,
        overhead_gib_per_gpu: 1.5,
    };
    let cautious = |gpus: u32, mib: f64| Room {
        overhead_gib_per_gpu: conservative_overhead_gib(gpus, 8_192),
        ..room(gpus, mib)
    };
    table.put(
        "g12.aic_overhead_gib_per_gpu_tp2_8192tok",
        conservative_overhead_gib(2, 8_192),
    );
    let wider = Room {
        utilization: 0.92,
        ..room(2, A100_80)
    };
    for (name, bits, room) in [
        ("fp16 2xA100-80 lean", FP16, room(2, A100_80)),
        ("fp16 2xA100-80 AIC", FP16, cautious(2, A100_80)),
        ("fp16 2xA100-80 lean u.92", FP16, wider),
        ("fp16 4xA100-40 lean", FP16, room(4, A100_40)),
        ("fp16 4xA100-40 AIC", FP16, cautious(4, A100_40)),
        ("int8 1xA100-80 lean", INT8, room(1, A100_80)),
        ("int8 1xA100-80 AIC", INT8, cautious(1, A100_80)),
        ("int8 2xA100-80 lean", INT8, room(2, A100_80)),
        ("Q4_K_M 1xA100-80 lean", Q4_K_M, room(1, A100_80)),
        ("Q4_K_M 1xA100-40 lean", Q4_K_M, room(1, A100_40)),
        ("Q4_K_M 1xL40S-48 lean", Q4_K_M, room(1, 46_068.0)),
        ("Q4_K_M 2xRTX4090 lean", Q4_K_M, room(2, 24_564.0)),
        ("fp16 1xH200 lean", FP16, room(1, H200)),
        ("fp8 1xH200 lean", INT8, room(1, H200)),
        ("fp8 1xH100 lean", INT8, room(1, 81_559.0)),
        ("fp16 1xMI300X lean", FP16, room(1, 196_608.0)),
    ] {
        let fit = footprint("llama3.1-70b", bits).fit(room);
        put_fit(&mut table, &format!("70B {name}"), fit);
    }
    for (name, mib) in [("8B fp16 1xL4", 23_034.0), ("8B fp16 1xRTX4090", 24_564.0)] {
        let fit = footprint("llama3.1-8b", FP16).fit(room(1, mib));
        put_fit(&mut table, name, fit);
    }
    // Another planner's numbers for 8B on an L4.
    let other = Footprint {
        weight_bytes: 14.96 * GIB,
        kv_bytes_per_token: kv_bytes(32, 8),
    }
    .fit(Room {
        gpus: 1.0,
        gib_per_gpu: 22.49,
        utilization: 0.92,
        overhead_gib_per_gpu: 0.83,
    });
    table.put("g12.kvplan_tokens", other.kv_tokens);
    table
}

pub(super) fn g12_fewest_cards_by_model_and_precision() -> Table {
    let cards = [
        ("4090", 24_564.0),
        ("L4", 23_034.0),
        ("L40S", 46_068.0),
        ("A100-40", 40_960.0),
        ("A100-80", 81_920.0),
        ("H100", 81_559.0),
        ("H200", 143_771.0),
        ("B200", 183_359.0),
        ("MI300X", 196_608.0),
    ];
    let mut fewest = Map::new();
    for (model, ..) in &MODELS[..4] {
        for bits in ["16", "8", "4.8944"] {
            let footprint = footprint(model, bits.parse().unwrap());
            let row: Map<String, Value> = cards
                .iter()
                .map(|(card, mib)| {
                    let room = Room {
                        gpus: 1.0,
                        gib_per_gpu: mib / 1_024.0,
                        utilization: 0.9,
                        overhead_gib_per_gpu: 1.5,
                    };
                    ((*card).to_owned(), json!(footprint.fewest_gpus(room)))
                })
                .collect();
            fewest.insert(format!("{model}@{bits}"), Value::Object(row));
        }
    }
    let mut table = Table::default();
    table.put("g12.min_gpus(util0.9,1.5GiB,16384tok)", fewest);
    table
}

fn a100() -> GpuCard {
    Book::new().gpu("a100-80gb-sxm").unwrap()
}

/// Bandwidth of two cards.
fn bandwidth() -> f64 {
    2.0 * a100().bandwidth_bytes_per_second as f64
}

pub(super) fn g13_no_engine_beats_the_memory() -> Table {
    let mut table = Table::default();
    for (name, bits) in [("fp16", FP16), ("int8", INT8), ("Q4_K_M", Q4_K_M)] {
        let bytes = footprint("llama3.1-70b", bits).weight_bytes;
        let step = Step::reading(bytes, bandwidth());
        let usual = Step::reading(bytes, 0.8 * bandwidth());
        let mut put = |key: &str, value: f64| table.put(format!("g13.{name}.{key}"), value);
        put("ms_per_step_floor", step.seconds * 1e3);
        put("b8_max_tok_s", step.tokens_per_second(8.0));
        put("b8_80pct", usual.tokens_per_second(8.0));
        for rate in [500.0, 1_000.0] {
            put(&format!("min_batch_for_{rate}"), step.least_batch(rate));
            put(
                &format!("min_batch_for_{rate}_80pct"),
                usual.least_batch(rate),
            );
        }
    }
    let read = 8.0 * 650.0 * kv_bytes(80, 8);
    table.put("g13.kv_bytes_read_per_step_b8_650", read);
    table.put(
        "g13.kv_extra_ms",
        Step::reading(read, bandwidth()).seconds * 1e3,
    );
    the_roofline_leaves_out_the_embedding();
    table
}

/// The reference reads the input embedding as well, which is a look-up: 231.2 becomes 234.7.
fn the_roofline_leaves_out_the_embedding() {
    let shape = llama_70b();
    let roofline = Roofline::new(&a100(), 2.0, (&shape, Precision::F16), 8.0);
    assert!((roofline.decode_tokens_per_second - 234.7).abs() < 0.1);
    let refused = |rate: u32, batch: u32| {
        let lines = format!(
            "output_tokens_per_second = {rate}\nmodel = \"llama-3.3-70b\"\nprecision = \"f16\"\nbatch_size = {batch}"
        );
        try_with(&guide_with("self_hosted", &lines), &Files::default()).is_err()
    };
    assert!(refused(500, 8) && refused(1_000, 8) && refused(235, 8));
    assert!(!refused(234, 8) && !refused(500, 18) && refused(500, 17));
}

pub(super) fn g13_first_principles_expect_half_of_the_claim() -> Table {
    let mut table = Table::default();
    let model = footprint("llama3.1-70b", FP16);
    let cards = Cards::new(&a100(), 2.0, Precision::F16);
    let burden = Burden {
        weight_bytes: model.weight_bytes,
        flop_per_token: model.weight_bytes,
    };
    let most = prefill(cards.flop_per_second.unwrap(), burden.flop_per_token);
    table.put("g13.prefill_max_tok_s_fp16_2xA100", most);
    let held = 575.0 * model.kv_bytes_per_token;
    let expected = Expected::new(cards, burden, (32.0, held)).unwrap();
    table.put("g13.prefill_50mfu", expected.prefill_tokens_per_second);
    table.put(
        "g13.prefill_busy_if_750_out",
        2_500.0 / expected.prefill_tokens_per_second,
    );
    let work = Work {
        calls: 1.0,
        uncached_tokens: 500.0,
        input_tokens: 500.0,
        output_tokens: 150.0,
        rejected_share: 0.0,
    };
    let rates = Rates {
        prefill: Some(expected.prefill_tokens_per_second),
        decode: Some(expected.decode_tokens_per_second),
        ..Rates::default()
    };
    table.put("g13.est_req_s", 1.0 / work.seconds(rates.basis().unwrap()));
    // The same rates in the guide's scenario.
    let lines = format!(
        "prefill_tokens_per_second = {}\ndecode_tokens_per_second = {}",
        expected.prefill_tokens_per_second, expected.decode_tokens_per_second
    );
    let text = guide_with("self_hosted", &lines);
    let answer = solve(&text);
    let point = answer.view.operating_point.unwrap();
    table.put("g13.est_out_tok_s", point.output_tokens_per_second);
    table.put("g13.est_in_tok_s", point.input_tokens_per_second);
    table.put("g13.est_be_util", answer.break_even.unwrap().utilization);
    let mix = Mix {
        input: TokensPerSecond::new(point.input_tokens_per_second),
        output: TokensPerSecond::new(point.output_tokens_per_second),
    };
    let price = Method::OutputOnly.split(UsdPerHour::new(4.0), mix).output;
    table.put("g13.est_usd_per_M_out_only", price.value());
    table
}
