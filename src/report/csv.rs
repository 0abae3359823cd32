//! `points.csv`: one row per planned point in study order; where quality alone was judged and nothing
//! planned, one per precision.

use super::columns::{self, Cell, Column};
use super::document::Document;
use super::escape;

/// The table with its header; absent cells are empty.
///
/// # Panics
/// Never: every row has the same columns, and memory takes them all.
pub fn render(document: &Document) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let points = document.rows.iter().map(|row| columns::of(document, row));
    let judged = document.precisions.iter().flat_map(|precisions| {
        let rows = precisions.rows.iter();
        rows.map(|row| columns::of_precision(precisions, row))
    });
    let rows: Vec<Vec<Column>> = if document.rows.is_empty() {
        judged.collect()
    } else {
        points.collect()
    };
    for (index, columns) in rows.iter().enumerate() {
        if index == 0 {
            write(
                &mut writer,
                columns.iter().map(|column| column.name.clone()),
            );
        }
        write(&mut writer, columns.iter().map(|column| text(&column.cell)));
    }
    let bytes = writer
        .into_inner()
        .expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("every cell is UTF-8")
}

fn write(writer: &mut ::csv::Writer<Vec<u8>>, cells: impl Iterator<Item = String>) {
    writer
        .write_record(cells)
        .expect("every row has the same columns, and writing to memory does not fail");
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Absent => String::new(),
        Cell::Text(text) => escape::spreadsheet(text),
        Cell::Count(count) => count.to_string(),
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => flag.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::{document, hostile, script};

    fn records(text: &str) -> Vec<Vec<String>> {
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let records = reader.records().map(Result::unwrap);
        records
            .map(|record| record.iter().map(str::to_owned).collect())
            .collect()
    }

    #[track_caller]
    fn cell(row: usize, column: &str) -> String {
        let table = records(&render(&document(&script())));
        let index = table[0].iter().position(|name| name == column).unwrap();
        table[row][index].clone()
    }

    #[test]
    fn the_columns_of_the_contract_come_first_in_its_order() {
        let text = render(&document(&script()));
        let header = records(&text).remove(0);
        insta::assert_snapshot!(header[..41].join(" "), @r#"status precision weight_type bits_per_weight activation_dtype kv_dtype engine batch_size isl osl n_blocks prefill_tokens_per_second prefill_tokens_per_second_low prefill_tokens_per_second_high decode_tokens_per_second decode_tokens_per_second_low decode_tokens_per_second_high output_tokens_per_second output_tokens_per_second_low output_tokens_per_second_high total_tokens_per_second total_tokens_per_second_low total_tokens_per_second_high ttft_ms ttft_ms_low ttft_ms_high tpot_ms tpot_ms_low tpot_ms_high usd_per_mtok_input usd_per_mtok_input_low usd_per_mtok_input_high usd_per_mtok_output usd_per_mtok_output_low usd_per_mtok_output_high usd_per_mtok_blended usd_per_mtok_blended_low usd_per_mtok_blended_high usd_per_mtok_floor usd_per_mtok_floor_low usd_per_mtok_floor_high"#);
        insta::assert_snapshot!(header[41..].join(" "), @r#"tokens_per_second_per_user tokens_per_second_per_user_low tokens_per_second_per_user_high e2el_ms e2el_ms_low e2el_ms_high usd_per_mtok_input_at_utilization_10 usd_per_mtok_input_at_utilization_10_low usd_per_mtok_input_at_utilization_10_high usd_per_mtok_output_at_utilization_10 usd_per_mtok_output_at_utilization_10_low usd_per_mtok_output_at_utilization_10_high usd_per_mtok_blended_at_utilization_10 usd_per_mtok_blended_at_utilization_10_low usd_per_mtok_blended_at_utilization_10_high usd_per_mtok_input_at_utilization_30 usd_per_mtok_input_at_utilization_30_low usd_per_mtok_input_at_utilization_30_high usd_per_mtok_output_at_utilization_30 usd_per_mtok_output_at_utilization_30_low usd_per_mtok_output_at_utilization_30_high usd_per_mtok_blended_at_utilization_30 usd_per_mtok_blended_at_utilization_30_low usd_per_mtok_blended_at_utilization_30_high usd_per_mtok_input_at_utilization_50 usd_per_mtok_input_at_utilization_50_low usd_per_mtok_input_at_utilization_50_high usd_per_mtok_output_at_utilization_50 usd_per_mtok_output_at_utilization_50_low usd_per_mtok_output_at_utilization_50_high usd_per_mtok_blended_at_utilization_50 usd_per_mtok_blended_at_utilization_50_low usd_per_mtok_blended_at_utilization_50_high usd_per_mtok_input_at_utilization_70 usd_per_mtok_input_at_utilization_70_low usd_per_mtok_input_at_utilization_70_high usd_per_mtok_output_at_utilization_70 usd_per_mtok_output_at_utilization_70_low usd_per_mtok_output_at_utilization_70_high usd_per_mtok_blended_at_utilization_70 usd_per_mtok_blended_at_utilization_70_low usd_per_mtok_blended_at_utilization_70_high usd_per_mtok_input_output_only usd_per_mtok_input_output_only_low usd_per_mtok_input_output_only_high usd_per_mtok_output_output_only usd_per_mtok_output_output_only_low usd_per_mtok_output_output_only_high usd_per_mtok_input_total_tokens usd_per_mtok_input_total_tokens_low usd_per_mtok_input_total_tokens_high usd_per_mtok_output_total_tokens usd_per_mtok_output_total_tokens_low usd_per_mtok_output_total_tokens_high usd_per_mtok_input_full_load_bills_twice usd_per_mtok_input_full_load_bills_twice_low usd_per_mtok_input_full_load_bills_twice_high usd_per_mtok_output_full_load_bills_twice usd_per_mtok_output_full_load_bills_twice_low usd_per_mtok_output_full_load_bills_twice_high usd_per_mtok_input_price_ratio_4 usd_per_mtok_input_price_ratio_4_low usd_per_mtok_input_price_ratio_4_high usd_per_mtok_output_price_ratio_4 usd_per_mtok_output_price_ratio_4_low usd_per_mtok_output_price_ratio_4_high usd_per_mtok_input_time_share usd_per_mtok_input_time_share_low usd_per_mtok_input_time_share_high usd_per_mtok_output_time_share usd_per_mtok_output_time_share_low usd_per_mtok_output_time_share_high time_share_kappa mbu mbu_low mbu_high mfu mfu_low mfu_high mfu_dtype mbu_of_data_sheet mbu_of_data_sheet_low mbu_of_data_sheet_high mfu_of_data_sheet mfu_of_data_sheet_low mfu_of_data_sheet_high bytes_read_per_step read_bytes_per_second copy_bytes_per_second in_cache ttft_p50_ms ttft_p90_ms ttft_p99_ms itl_p50_ms itl_p90_ms itl_p99_ms e2el_p50_ms e2el_p90_ms e2el_p99_ms prefill_gpu_utilization prefill_memory_utilization prefill_power_watts prefill_sm_clock_mhz prefill_memory_clock_mhz prefill_temperature_c prefill_memory_used_bytes prefill_process_memory_bytes prefill_processes prefill_throttled_for_power prefill_throttled_for_heat prefill_throttled_by_hardware prefill_pcie_rx_bytes_per_second prefill_pcie_tx_bytes_per_second prefill_sm_activity prefill_sm_occupancy prefill_tensor_activity prefill_dram_bandwidth_utilization decode_gpu_utilization decode_memory_utilization decode_power_watts decode_sm_clock_mhz decode_memory_clock_mhz decode_temperature_c decode_memory_used_bytes decode_process_memory_bytes decode_processes decode_throttled_for_power decode_throttled_for_heat decode_throttled_by_hardware decode_pcie_rx_bytes_per_second decode_pcie_tx_bytes_per_second decode_sm_activity decode_sm_occupancy decode_tensor_activity decode_dram_bandwidth_utilization sampler_cpu_share parent_cpu_share prefill_joules_per_token prefill_net_joules_per_token prefill_energy_method prefill_energy_disagreement usd_per_mtok_input_energy decode_joules_per_token decode_net_joules_per_token decode_energy_method decode_energy_disagreement usd_per_mtok_output_energy idle_watts n_generations n_launches lag1_autocorrelation peak_memory_bytes weight_bytes kv_bytes_per_token usd_per_hour price_as_of price_source point reason"#);
    }

    #[test]
    fn a_row_holds_what_was_measured() {
        assert_eq!(cell(1, "status"), "ok");
        assert_eq!(cell(1, "precision"), "q8_0");
        assert_eq!(cell(1, "n_blocks"), "3");
        assert_eq!(cell(1, "ttft_ms"), "500");
        assert_eq!(cell(1, "tpot_ms"), "100");
        assert_eq!(cell(1, "prefill_tokens_per_second"), "200");
        assert_eq!(cell(1, "decode_tokens_per_second"), "10");
        // 0.1 mUSD per second: 0.5 s for 100 tokens, 1 s for 11.
        let number = |column| cell(1, column).parse::<f64>().unwrap();
        assert!((number("usd_per_mtok_input") - 0.5).abs() < 1e-12);
        assert!((number("usd_per_mtok_output") - 1e-4 / 11.0 * 1e6).abs() < 1e-12);
        assert_eq!(cell(1, "usd_per_mtok_floor_low"), "");
    }

    #[test]
    fn what_is_absent_is_empty_and_never_zero() {
        let table = records(&render(&document(&script())));
        let first = table[0]
            .iter()
            .position(|name| name == "prefill_tokens_per_second")
            .unwrap();
        let last = table[0]
            .iter()
            .position(|name| name == "n_launches")
            .unwrap();
        for row in &table[3..] {
            let filled: Vec<_> = row[first..=last].iter().filter(|c| !c.is_empty()).collect();
            assert_eq!(filled, Vec::<&String>::new());
        }
        assert_eq!(
            cell(3, "reason"),
            "out of memory: 3.1 GB asked, 1.2 GB free"
        );
    }

    #[test]
    fn no_cell_is_a_formula() {
        let text = render(&document(&hostile()));
        for cell in records(&text).concat() {
            assert!(!cell.starts_with(['=', '+', '@']), "{cell}");
            assert!(!cell.contains(|c: char| c.is_control()), "{cell:?}");
        }
        assert!(text.contains("'=HYPERLINK"));
    }
}
