//! What write_struct and read_struct share.

#![allow(dead_code)] // each program uses a part

use std::mem;

/// `struct record` of `sysv/record.h`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Record {
    pub id: i32,
    pub temperature: f64,
    /// Ends with a NUL.
    pub name: [u8; 32],
}

impl Record {
    pub const SIZE: usize = size_of::<Record>();

    /// The bytes as C lays them out, with zeroes in the gap behind `id`.
    pub fn to_bytes(self) -> [u8; Record::SIZE] {
        let mut bytes = [0; Record::SIZE];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        put(mem::offset_of!(Record, id), &self.id.to_ne_bytes());
        put(
            mem::offset_of!(Record, temperature),
            &self.temperature.to_ne_bytes(),
        );
        put(mem::offset_of!(Record, name), &self.name);
        bytes
    }

    /// Returns the record in these bytes. Every pattern of bytes is a record.
    pub fn from_bytes(bytes: &[u8; Record::SIZE]) -> Record {
        // SAFETY: integers, a float and bytes: any bytes make a valid record, and there are as many
        // as it has.
        unsafe { bytes.as_ptr().cast::<Record>().read_unaligned() }
    }
}
