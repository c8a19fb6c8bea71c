//! The page that `wafersim run --report` writes: one HTML file with everything in it (docs, "Report").
//!
//! It is made from the report's JSON document, so that keys which are added to that appear here too.
//! All text goes through `escape`: a model's answer may hold anything.

use crate::pictures::Picture;
use serde_json::Value;
use std::fmt::Write as _;

/// What a page is made of.
#[derive(Debug)]
pub struct Page<'a> {
    /// The document `wafersim.run/1`, without `host`.
    pub report: &'a Value,
    /// Shown in this order.
    pub pictures: &'a [Picture],
    /// The machine as a file, all constants resolved.
    pub machine: &'a str,
    /// What has to be typed to have the same run again.
    pub command: &'a str,
}

/// A name, and what stands beside it.
type Row = (String, String);

const STYLE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;color:#19191e;max-width:1240px;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em;margin-bottom:.1em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #ccc}\
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.2em 1.1em .2em 0;text-align:left;vertical-align:top}\
th{border-bottom:1px solid #999}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
pre{background:#f4f4f6;padding:.8em;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}\
.bar{display:inline-block;height:.8em;background:#2a788e}.about{color:#666;margin:.2em 0 1em}\
img{max-width:100%;height:auto;border:1px solid #ddd}details{margin:.5em 0}summary{cursor:pointer}";

impl Page<'_> {
    /// The file: HTML in UTF-8.
    pub fn html(&self) -> String {
        let report = self.report;
        let model = text(&report["model"]["architecture"]);
        let machine = &report["machine"];
        let title = format!("{model} on {}", text(&machine["name"]));
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <link rel=\"icon\" href=\"data:,\"><title>{0}</title>\
             <style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n",
            escape(&title)
        );
        let clock = machine["clock_hz"].as_f64().unwrap_or(0.0) / 1e6;
        let line = format!(
            "{} parameters; {} x {} tiles at {} MHz; wafersim {}, timing contract {}. All times are simulated.",
            figure(&report["model"]["parameters"]),
            machine["width"],
            machine["height"],
            decimal(clock),
            text(&report["wafersim"]),
            text(&report["contract"]),
        );
        let _ = writeln!(page, "<p class=\"about\">{}</p>", escape(&line));
        self.summary(&mut page);
        self.answers(&mut page);
        self.cycles(&mut page);
        section(&mut page, "Bound", &rows_of(&report["bound"]));
        section(&mut page, "Resources", &rows_of(&report["resources"]));
        section(&mut page, "Defects", &rows_of(&report["defects"]));
        self.pictures(&mut page);
        self.configuration(&mut page);
        page.push_str("</body></html>\n");
        page
    }

    fn summary(&self, page: &mut String) {
        page.push_str("<h2>Latency</h2>\n<table><tr><th>request</th>");
        for name in
            ["prompt", "new", "TTFT, cycles", "TTFT, µs", "TPOT, cycles", "TPOT, µs", "tokens/s"]
        {
            let _ = write!(page, "<th class=\"n\">{name}</th>");
        }
        page.push_str("</tr>\n");
        let micro = |seconds: &Value| match seconds.as_f64() {
            Some(s) => decimal(s * 1e6),
            None => "-".into(),
        };
        for (at, request) in (1..).zip(list(&self.report["requests"])) {
            let latency = &request["latency"];
            let cells = [
                figure(&request["prompt_tokens"]),
                grouped(list(&latency["token_cycles"]).len() as u64),
                figure(&latency["ttft_cycles"]),
                micro(&latency["ttft_s"]),
                figure(&latency["tpot_cycles"]),
                micro(&latency["tpot_s"]),
                figure(&latency["tokens_per_s"]),
            ];
            let _ = write!(page, "<tr><td>{at}</td>");
            for cell in cells {
                let _ = write!(page, "<td class=\"n\">{}</td>", escape(&cell));
            }
            page.push_str("</tr>\n");
        }
        let rate = figure(&self.report["throughput_tokens_per_s"]);
        let _ = writeln!(page, "</table>\n<p>All requests together: {rate} tokens/s.</p>");
    }

    fn answers(&self, page: &mut String) {
        page.push_str("<h2>Answers</h2>\n");
        for (at, request) in (1..).zip(list(&self.report["requests"])) {
            let output = &request["output"];
            let answer = match output["text"].as_str() {
                Some(text) => text.to_string(),
                None if text(&output["source"]) == "none" => "(simulated without data)".into(),
                None => output["token_ids"].to_string(),
            };
            let stop = text(&output["stop"]);
            let _ = writeln!(
                page,
                "<p class=\"about\">request {at}, ended by {}</p><pre>{}</pre>",
                escape(&stop),
                escape(&answer)
            );
        }
    }

    fn cycles(&self, page: &mut String) {
        let counters = &self.report["counters"];
        page.push_str("<h2>Where the cycles of PEs went</h2>\n");
        bars(page, &numbers(&counters["pe_cycles"]));
        let attribution = &self.report["attribution"];
        if attribution.is_object() {
            page.push_str(
                "<h2>Attribution: the critical path to the first request's last token</h2>\n",
            );
            bars(page, &numbers(attribution));
            for (view, entries) in attribution.as_object().into_iter().flatten() {
                let entries: Vec<(String, u64)> = list(entries).iter().map(entry).collect();
                if !entries.is_empty() {
                    let _ = writeln!(page, "<details><summary>by {}</summary>", escape(view));
                    bars(page, &entries);
                    page.push_str("</details>\n");
                }
            }
        }
    }

    fn pictures(&self, page: &mut String) {
        page.push_str("<h2>Pictures</h2>\n");
        for picture in self.pictures {
            let _ = writeln!(
                page,
                "<h3>{0}</h3><p class=\"about\">{1}</p><img alt=\"{0}\" src=\"data:image/png;base64,{2}\">",
                escape(picture.title),
                escape(&picture.about),
                base64(&picture.png)
            );
        }
    }

    fn configuration(&self, page: &mut String) {
        let _ = writeln!(
            page,
            "<h2>How to run it again</h2>\n<pre>{}</pre>\n<p class=\"about\">digest {}</p>",
            escape(self.command),
            escape(&text(&self.report["digest"]))
        );
        section(page, "Settings", &rows_of(&self.report["settings"]));
        section(page, "Model", &rows_of(&self.report["model"]));
        let _ = writeln!(
            page,
            "<h2>Machine</h2>\n<details><summary>every constant, overrides included</summary><pre>{}</pre></details>",
            escape(self.machine)
        );
    }
}

fn section(page: &mut String, title: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(page, "<h2>{}</h2>\n<table>", escape(title));
    for (name, value) in rows {
        let (name, value) = (escape(name), escape(value));
        let _ = writeln!(page, "<tr><td>{name}</td><td class=\"n\">{value}</td></tr>");
    }
    page.push_str("</table>\n");
}

/// Names, cycles, shares of all of them, and these as bars.
fn bars(page: &mut String, entries: &[(String, u64)]) {
    let all: u64 = entries.iter().map(|(_, cycles)| cycles).sum();
    page.push_str("<table>\n");
    for (name, cycles) in entries {
        let share = 100.0 * *cycles as f64 / all.max(1) as f64;
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{} cycles</td><td class=\"n\">{share:.1} %</td>\
             <td><span class=\"bar\" style=\"width:{:.0}px\"></span></td></tr>",
            escape(name),
            grouped(*cycles),
            4.0 * share
        );
    }
    page.push_str("</table>\n");
}

/// The numbers of an object, by name.
fn numbers(object: &Value) -> Vec<(String, u64)> {
    let entries = object.as_object().into_iter().flatten();
    let number = |(name, value): (&String, &Value)| Some((words(name), value.as_u64()?));
    entries.filter_map(number).collect()
}

/// An entry of a view: what names it, and its cycles.
fn entry(entry: &Value) -> (String, u64) {
    let keys = ["layer", "operation"].into_iter().filter_map(|key| Some((key, entry.get(key)?)));
    let names = keys.map(|(key, value)| match value {
        Value::Null => "outside of layers".to_string(),
        Value::Number(number) => format!("{key} {number}"),
        other => text(other),
    });
    (names.collect::<Vec<_>>().join(", "), entry["cycles"].as_u64().unwrap_or(0))
}

/// All leaves of a value, with the path to each.
fn rows_of(value: &Value) -> Vec<Row> {
    fn walk(value: &Value, path: &str, rows: &mut Vec<Row>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(value, &format!("{path}{dot}{key}"), rows);
                }
            }
            Value::Null => {}
            Value::Array(all) if all.is_empty() => {}
            other => rows.push((path.to_string(), figure(other))),
        }
    }
    let mut rows = Vec::new();
    walk(value, "", &mut rows);
    rows
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToString::to_string)
}

fn words(key: &str) -> String {
    key.replace('_', " ")
}

/// A value for people: integers in groups of three digits.
fn figure(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(number), _) => grouped(number),
            (None, Some(number)) => decimal(number),
            (None, None) => number.to_string(),
        },
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(", "),
        other => text(other),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// Grouped above a thousand, three digits below.
fn decimal(number: f64) -> String {
    if number.abs() >= 1_000.0 {
        return grouped(number.round() as u64);
    }
    let digits = if number.abs() >= 100.0 { 1 } else { 3 };
    format!("{number:.digits$}")
}

/// Text for HTML, also within quoted attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Not allowed in HTML at all.
            '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// Base 64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut told = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(*three.get(at).unwrap_or(&0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            told.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_base_64_agree_with_the_vectors_of_the_standard() {
        let told = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(told, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn can_an_answer_not_leave_its_place() {
        let nasty = "</pre><script>alert('x')</script>\u{0}&amp;";
        let report = serde_json::json!({
            "model": {"architecture": nasty, "parameters": 1},
            "machine": {"name": nasty, "width": 2, "height": 3, "clock_hz": 850_000_000u64},
            "requests": [{"prompt_tokens": 1, "output": {"text": nasty, "stop": "length"},
                          "latency": {"ttft_cycles": 128_298, "token_cycles": [1, 2]}}],
            "attribution": {"compute": 30, "<wire>": 10, "operations": [{"operation": "down", "cycles": 40}]},
            "settings": {"overrides": [nasty]},
        });
        let page = Page { report: &report, pictures: &[], machine: nasty, command: nasty }.html();
        assert!(!page.contains("<script") && !page.contains("<wire>") && !page.contains('\0'));
        for wanted in ["&lt;script&gt;", "128,298", "75.0 %", "by operations", "&amp;amp;"] {
            assert!(page.contains(wanted), "{wanted}");
        }
        // Nothing is fetched.
        assert!(!page.contains("http"));
    }
}
