//! What a program writes, line by line.

use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::sync::mpsc;
use std::thread;

/// Reads lines on a thread of their own. A carriage return ends a line too: progress bars would
/// otherwise be one endless line. Of a progress bar only what stays on the screen is kept: a line
/// that tells a percentage and is written over is left out. Bytes that are no UTF-8 are replaced.
pub(super) fn read_lines(output: PipeReader) -> mpsc::Receiver<String> {
    /// A line longer than this is cut in pieces: nothing that a program writes may fill the memory.
    const LONGEST: usize = 16 * 1024;
    let (sender, receiver) = mpsc::sync_channel(1024);
    thread::spawn(move || {
        let mut reader = BufReader::with_capacity(LONGEST, output);
        let mut line = Vec::new();
        let mut returned = false;
        let send = |line: &mut Vec<u8>| {
            let sent = sender.send(String::from_utf8_lossy(line).into_owned());
            line.clear();
            sent.is_ok()
        };
        loop {
            let buffer = match reader.fill_buf() {
                Ok([]) => break,
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            line.extend_from_slice(&buffer[..end.unwrap_or(buffer.len())]);
            let ended_by = end.map(|end| buffer[end]);
            let used = end.map_or(buffer.len(), |end| end + 1);
            reader.consume(used);
            if ended_by == Some(b'\r') && line.contains(&b'%') {
                // Whether it is written over is known with the next byte.
                match reader.fill_buf() {
                    Ok([b'\n', ..]) => {}
                    Ok([]) => {}
                    _ => line.clear(),
                }
                if line.is_empty() {
                    returned = true;
                    continue;
                }
            }
            let second_half_of_crlf = returned && ended_by == Some(b'\n') && line.is_empty();
            returned = ended_by == Some(b'\r');
            if (ended_by.is_some() && !second_half_of_crlf || line.len() >= LONGEST) && !send(&mut line) {
                return;
            }
        }
        if !line.is_empty() {
            send(&mut line);
        }
    });
    receiver
}
