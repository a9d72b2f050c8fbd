//! A profile as a trace that Perfetto and Chrome's `about:tracing` show.
//!
//! The format is the JSON of the Trace Event Format: complete events (`"ph": "X"`) with begin and
//! length in microseconds, on a track for the host and one for the device.

use serde_json::{Value, json};

use super::profile::{Profile, Row};
use crate::graph::Span;

const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// The timed steps of a profile as trace events.
///
/// On the device's track an op holds its dispatches, where it has several; on the host's a step
/// holds its parts. Besides, events of a track do not overlap.
pub fn trace(profile: &Profile) -> Value {
    let mut events = vec![
        name("process_name", HOST, &format!("gabor: {}, batch {}", profile.model, profile.batch)),
        name("thread_name", HOST, "host"),
        name("thread_name", DEVICE, &format!("device: {}", profile.device)),
    ];
    for (step, (at, timeline)) in profile.timelines.iter().enumerate() {
        let end = timeline.host.last().map_or(*at, |span| at + span.end);
        events.push(event(HOST, &format!("step {}", step + 1), "step", *at, end, json!({})));
        for span in &timeline.host {
            events.push(event(HOST, span.name, "host", at + span.start, at + span.end, json!({})));
        }
        // A device's first timestamp may lie before the host's start by the clocks' drift.
        for spans in timeline.device.chunk_by(|a, b| a.step == b.step) {
            let Some(row) = profile.rows.get(spans[0].step) else { continue };
            device_events(row, spans, *at, &mut events);
        }
    }
    json!({ "traceEvents": events, "displayTimeUnit": "ms" })
}

fn device_events(row: &Row, spans: &[Span], at: f64, events: &mut Vec<Value>) {
    let (first, last) = (spans[0], spans[spans.len() - 1]);
    let pass = row.pass.name();
    let details = json!({
        "kernel": row.kernel, "inputs": row.inputs, "flops": row.flops, "bytes": row.bytes,
    });
    let name = format!("{} {pass} {}", row.layer, row.op);
    events.push(event(DEVICE, &name, pass, at + first.start, at + last.end, details));
    if row.dispatches.len() > 1 {
        for span in spans {
            let shader = row.dispatches.get(span.dispatch).map_or("", |part| part.shader.as_str());
            let (start, end) = (at + span.start, at + span.end);
            events.push(event(DEVICE, shader, "dispatch", start, end, json!({})));
        }
    }
}

fn name(what: &str, track: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": 1, "tid": track, "args": { "name": name } })
}

/// Times in seconds.
fn event(track: u32, name: &str, category: &str, start: f64, end: f64, args: Value) -> Value {
    // Whole nanoseconds, so that what meets does not overlap by a rounding.
    let [start, end] = [start, end].map(|s| (s * 1e9).round());
    json!({
        "ph": "X", "name": name, "cat": category, "pid": 1, "tid": track,
        "ts": start / 1e3, "dur": (end - start) / 1e3, "args": args,
    })
}
