//! A pipe.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use std::io::{self, PipeReader, PipeWriter, Read, Write};

pub struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Channel for Pipe {
    type Sender<'a> = &'a PipeWriter;
    type Receiver<'a> = &'a PipeReader;

    fn new(_: usize, _: usize) -> Result<Pipe, Failure> {
        let (reader, writer) = io::pipe()?;
        Ok(Pipe { reader, writer })
    }
    fn sender(&self) -> &PipeWriter {
        &self.writer
    }
    fn receiver(&self) -> &PipeReader {
        &self.reader
    }
}

impl Sender for &PipeWriter {
    fn send(&mut self, message: &[u8]) {
        self.write_all(message).expect("the pipe has a reader");
    }
}

impl Receiver for &PipeReader {
    fn recv(&mut self, message: &mut [u8]) {
        self.read_exact(message).expect("the pipe has a writer");
    }
}
