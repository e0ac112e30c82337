//! The buffers of packets, which are filled from an object, handed to Zenoh without copying, and used again.

use crate::wire::{HEADER, Header, MOST, ROOM};
use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// The length of a buffer in bytes: a header, messages and their lengths.
const LEN: usize = HEADER + ROOM + 4 * MOST;

/// The free buffers.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Vec<Box<[u8]>>>>);

/// A buffer in which a packet is made. Dropping it returns it to its pool.
pub struct Buffer {
    bytes: Box<[u8]>,
    /// The length of the packet.
    len: usize,
    pool: Pool,
}

impl Pool {
    /// Returns a free buffer, or a new one.
    #[must_use]
    pub fn take(&self) -> Buffer {
        let free = self.free().pop();
        Buffer {
            bytes: free.unwrap_or_else(|| vec![0; LEN].into_boxed_slice()),
            len: 0,
            pool: self.clone(),
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        crate::lock(&self.0)
    }
}

impl Buffer {
    /// Returns the room for the bytes of messages.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[HEADER..HEADER + ROOM]
    }

    /// Makes a packet of a header, the bytes in the room, and the lengths of the messages.
    #[must_use]
    pub fn messages(mut self, header: &Header, lengths: &[usize]) -> Bytes {
        header.write(&mut self.bytes);
        let mut end = HEADER + lengths.iter().sum::<usize>();
        for &len in lengths {
            self.bytes[end..end + 4].copy_from_slice(&(len as u32).to_le_bytes());
            end += 4;
        }
        self.packet(end)
    }

    /// Makes a packet of a header and these bytes, of which there may be at most [`ROOM`].
    #[must_use]
    pub fn part(mut self, header: &Header, part: &[u8]) -> Bytes {
        header.write(&mut self.bytes);
        self.room()[..part.len()].copy_from_slice(part);
        self.packet(HEADER + part.len())
    }

    /// Returns the packet with this length. A short one is copied: it may be kept for long, and would keep the buffer.
    fn packet(mut self, len: usize) -> Bytes {
        if len < LEN / 2 {
            return Bytes::copy_from_slice(&self.bytes[..len]);
        }
        self.len = len;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Enough for a default window of full packets. Further buffers are freed.
        let mut free = self.pool.free();
        if free.len() < 32 {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::What;

    #[test]
    fn a_short_packet_keeps_no_buffer_and_a_long_one_does() {
        let pool = Pool::default();
        let header = Header::new(What::Messages, 7);
        for (len, free) in [(8, 1), (ROOM, 0)] {
            let packet = pool.take().messages(&header, &[len]);
            assert_eq!(packet.len(), HEADER + len + 4);
            assert_eq!(pool.free().len(), free);
        }
    }
}
