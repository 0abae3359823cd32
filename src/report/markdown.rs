//! `report.md`.

use super::document::Document;
use super::escape::markdown;
use super::section::{self, Align, Section, Table};

/// The report as GitHub-flavoured Markdown.
pub fn render(document: &Document) -> String {
    let mut text = format!("# {}\n", markdown(&section::title(document)));
    for line in section::lead(document) {
        text.extend([format!("\n{}\n", markdown(&line))]);
    }
    for section in section::all(document) {
        text.push_str(&of_section(&section));
    }
    text
}

pub(crate) fn of_section(section: &Section) -> String {
    let mut text = format!("\n## {}\n", markdown(section.title));
    for note in &section.notes {
        text.extend([format!("\n{}\n", markdown(note))]);
    }
    if let Some(table) = &section.table {
        text.push('\n');
        text.push_str(&of_table(table));
    }
    text
}

fn of_table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let header = table.header.iter().map(|h| markdown(&h.text)).collect();
    let rule = table.header.iter().map(|heading| match heading.align {
        Align::Left => "---".to_owned(),
        Align::Right => "---:".to_owned(),
    });
    let mut text = line(header) + &line(rule.collect());
    for row in &table.rows {
        text.push_str(&line(row.iter().map(|cell| markdown(cell)).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{document, document_at, hostile, script};

    #[test]
    fn the_report_of_a_small_study() {
        insta::assert_snapshot!(render(&document(&script())), @r#"
# tiny on Test CPU

Engine decoder, closed static batch, equal lengths. Intervals are 95 %, over n blocks or over the processes they ran in, whichever is wider; — is unknown, never zero.

Prices: 0.36 USD per hour, the rate that the user gave for this CPU machine (--usd-per-hour); engine decoder, closed static batch, equal lengths, full load.

## Cheapest point

Of the points that keep the limits with the upper ends of their intervals, the one with the most tokens per second in all.

No point meets the limits as MLPerf interactive; q8_0 b1 100/11 comes nearest, with TTFT up to 512.4 ms of 450.0 and TPOT up to 100.0 ms of 40.00.

| limits | TTFT up to ms | TPOT up to ms | cheapest point | total tok/s | $/Mtok blended | $/Mtok floor |
| --- | ---: | ---: | --- | ---: | ---: | ---: |
| any latency | — | — | q8_0 b2 100/11 | 126.86 (125.96–127.76) | 0.7883 (0.7827–0.7939) | 0.4055 |
| as MLPerf server | 2000 | 200.0 | q8_0 b2 100/11 | 126.86 (125.96–127.76) | 0.7883 (0.7827–0.7939) | 0.4055 |
| as MLPerf interactive | 450.0 | 40.00 | none | — | — | — |

## Throughput

Prefill counts input tokens until the first output token, decode the tokens after the first, output and total the whole generation.

| precision | batch | ISL | OSL | status | n | prefill tok/s | decode tok/s | output tok/s | total tok/s | per user tok/s |
| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |
| q8_0 | 1 | 100 | 11 | ok | 3 | 200.0 (195.2–205.1) | 10.00 (10.00–10.00) | 7.333 (7.273–7.395) | 74.00 (73.39–74.62) | 10.00 (10.00–10.00) |
| q8_0 | 2 | 100 | 11 | ok | 3 | 400.0 (390.3–410.2) | 16.00 (16.00–16.00) | 12.571 (12.483–12.661) | 126.86 (125.96–127.76) | 8.000 (8.000–8.000) |
| q8_0 | 4 | 100 | 11 | oom | — | — | — | — | — | — |
| q8_0 | 8 | 100 | 11 | skipped | — | — | — | — | — | — |

## Latency

TPOT is the mean time per token after the first (what AIPerf and GuideLLM call ITL). A percentile is shown when at least five observations lie beyond it.

| point | TTFT ms | TPOT ms | E2EL ms | TTFT p50/p90/p99 ms | ITL p50/p90/p99 ms | E2EL p50/p90/p99 ms | generations |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| q8_0 b1 100/11 | 500 (488–512) | 100.0 (100.0–100.0) | 1500 (1488–1512) | — / — / — | 100.0 / — / — | — / — / — | 3 |
| q8_0 b2 100/11 | 500 (488–512) | 125.0 (125.0–125.0) | 1750 (1738–1762) | — / — / — | 125.0 / — / — | — / — / — | 3 |

## Cost

Prices: 0.36 USD per hour, the rate that the user gave for this CPU machine (--usd-per-hour); engine decoder, closed static batch, equal lengths, full load.

Input and output share the bill by time and add up to it exactly; the floor is the same point at 100 % of the measured bandwidth or matmul rate.

| point | $/Mtok input | $/Mtok output | $/Mtok blended | $/Mtok floor |
| --- | ---: | ---: | ---: | ---: |
| q8_0 b1 100/11 | 0.500 (0.488–0.512) | 9.091 (9.091–9.091) | 1.351 (1.340–1.363) | 0.6307 |
| q8_0 b2 100/11 | 0.2500 (0.2438–0.2562) | 5.682 (5.682–5.682) | 0.7883 (0.7827–0.7939) | 0.4055 |

## Cost by utilization

$/Mtok blended on a machine that is busy this share of the time: the price at full load divided by it.

| point | blended at 10 % utilization | blended at 30 % utilization | blended at 50 % utilization | blended at 70 % utilization |
| --- | ---: | ---: | ---: | ---: |
| q8_0 b1 100/11 | 13.51 (13.40–13.63) | 4.505 (4.467–4.542) | 2.703 (2.680–2.725) | 1.931 (1.915–1.946) |
| q8_0 b2 100/11 | 7.883 (7.827–7.939) | 2.628 (2.609–2.646) | 1.577 (1.565–1.588) | 1.1261 (1.1181–1.1341) |

## The same bill by other methods

Other programs split the bill otherwise. A price that bills twice must not be multiplied by both kinds of tokens. Engine decoder, closed static batch, equal lengths.

| point | method | $/Mtok input | $/Mtok output | κ |
| --- | --- | ---: | ---: | ---: |
| q8_0 b1 100/11 | output only | 0.000 (0.000–0.000) | 13.64 (13.52–13.75) | — |
| q8_0 b1 100/11 | total tokens | 1.351 (1.340–1.363) | 1.351 (1.340–1.363) | — |
| q8_0 b1 100/11 | full load on each side (bills twice) | 1.500 (1.488–1.512) | 13.64 (13.52–13.75) | — |
| q8_0 b1 100/11 | time share | 0.4688 (0.4649–0.4726) | 9.375 (9.297–9.453) | 0.9375 |
| q8_0 b1 100/11 | price ratio 4 | 1.0417 (1.0330–1.0503) | 4.167 (4.132–4.201) | — |
| q8_0 b2 100/11 | output only | 0.000 (0.000–0.000) | 7.955 (7.898–8.011) | — |
| q8_0 b2 100/11 | total tokens | 0.7883 (0.7827–0.7939) | 0.7883 (0.7827–0.7939) | — |
| q8_0 b2 100/11 | full load on each side (bills twice) | 0.8750 (0.8688–0.8812) | 7.955 (7.898–8.011) | — |
| q8_0 b2 100/11 | time share | 0.2333 (0.2317–0.2350) | 5.833 (5.792–5.875) | 0.9333 |
| q8_0 b2 100/11 | price ratio 4 | 0.6076 (0.6033–0.6120) | 2.431 (2.413–2.448) | — |

## Roofline

MBU is decode's reading ÷ the read bandwidth measured over a buffer of that size, MFU prefill's arithmetic ÷ the measured matmul rate; 1 is the limit. Quantized weights may exceed an MFU of 1: the rate is no limit of theirs then, and the point has no floor.

| point | MBU | MBU of data sheet | read GB/s | copy GB/s | MFU | MFU of data sheet | MFU against | in cache |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |
| q8_0 b1 100/11 | 0.5001 (0.5001–0.5001) | — | 20.00 | — | 0.4000 (0.3903–0.4102) | — | f32 | no |
| q8_0 b2 100/11 | 0.4001 (0.4001–0.4001) | — | 20.00 | — | 0.800 (0.781–0.820) | — | f32 | no |

## Points without a result

| point | status | reason |
| --- | --- | --- |
| q8_0 b4 100/11 | oom | out of memory: 3.1 GB asked, 1.2 GB free |
| q8_0 b8 100/11 | skipped | batch 4 ran out of memory |

## The model on the device

Before timing, the logits of the timed path are compared with the reference path: largest relative L2 error over a prefill and three decode steps.

| precision | launch | weights | bits per weight | on the device | read per step | activations | KV | KV bytes per token | resident after load | peak during load | load s | logits' error (bound) |
| --- | ---: | --- | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |
| q8_0 | 0 | q8_0 | 8.500 | 1.10 GB | 1.00 GB | f32 | f32 | 1000 | 1.20 GB | 1.30 GB | 2.000 | b1 1.0e-3 (0.02) |

## Measured limits of the device

| limit | best | unit | repetitions |
| --- | ---: | --- | ---: |
| read 100.00 MB | 20.00 | GB/s | 2 |
| read 1.00 GB | 20.00 | GB/s | 2 |
| matmul f32 1024 | 1000 | GFLOP/s | 1 |

## Provenance

| what | value |
| --- | --- |
| run date | 2026-11-23 |
| model | tiny (tiny) |
| weights | seeded random numbers of the model's shape: its speed, not its text |
| parameters | 106816 |
| prompts | seeded random ids |
| engine | decoder |
| device | Test CPU, 8.00 GB |
| last-level cache | 32.00 MB |
| threads | 2 |
| host | Test CPU, 2 threads, 8.00 GB |
| system | Linux 6.1 |
| mtok | 0.1.0 commit 0123456789abcdef |
| executable | sha256 abababababababab |
| candle | 0.11.1 |
| features | none |
| seed | 1 |
| launches | 1 |
| blocks | 3 to 40 of at least 0.5 s per point, aimed at ± 3 % |
| price catalog | sha256 cdcdcdcdcdcdcdcd |
| hourly price | 0.36 USD per hour, --usd-per-hour, the user, undated |
"#);
    }

    #[test]
    fn without_a_price_the_report_says_how_to_give_one() {
        let text = render(&document_at(&script(), None));
        assert!(
            text.contains("mtok report DIR --usd-per-hour X tells them"),
            "{text}"
        );
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn every_table_row_has_as_many_cells_as_its_heading_whatever_the_names() {
        let text = render(&document(&hostile()));
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines
            .windows(2)
            .filter(|p| p[0].starts_with('|') && p[1].starts_with('|'))
        {
            assert_eq!(cells(pair[0]), cells(pair[1]), "{}\n{}", pair[0], pair[1]);
        }
        assert!(!text.contains("<img"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
