//! What write_struct and read_struct share: a field of every kind.

#![allow(dead_code)] // each program uses a part

use bytemuck::{Pod, Zeroable};

/// The name of the layout, which changes when the structure does: a program with another name cannot open it.
pub const RECORD_LAYOUT: &str = "weather record 1";

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Place {
    pub latitude: f64,
    pub longitude: f64,
}

/// `struct record` of `record.h`. `Pod` checks that there is no gap between fields.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Record {
    /// In seconds since 1970.
    pub taken: i64,
    /// Of the instrument.
    pub serial: u64,
    /// In degrees Celsius.
    pub temperature: f64,
    pub place: Place,
    pub id: i32,
    /// In pascals.
    pub pressure: u32,
    /// 0 to 1.
    pub humidity: f32,
    /// In metres.
    pub altitude: i16,
    /// Where it comes from, in degrees.
    pub wind: u16,
    /// The last hours' temperatures, in hundredths of a degree.
    pub earlier: [i16; 3],
    pub trend: i8,
    /// Of 255.
    pub battery: u8,
    /// Ends with a NUL.
    pub name: [u8; 32],
}

impl Record {
    /// Returns the fields by name, as `read_struct` prints them.
    pub fn lines(&self) -> Vec<u8> {
        let end = self.name.iter().position(|&byte| byte == 0);
        let name = &self.name[..end.unwrap_or(self.name.len())];
        let [one, two, three] = self.earlier;
        let head = format!(
            "id: {}\ntemperature: {}\nname: ",
            self.id,
            as_c_prints(self.temperature)
        );
        let tail = format!(
            "\ntaken: {}\nserial: {}\nplace: {}, {}\npressure: {}\nhumidity: {}\naltitude: {}\n\
             wind: {}\nearlier: {one}, {two}, {three}\ntrend: {}\nbattery: {}\n",
            self.taken,
            self.serial,
            as_c_prints(self.place.latitude),
            as_c_prints(self.place.longitude),
            self.pressure,
            as_c_prints(self.humidity.into()),
            self.altitude,
            self.wind,
            self.trend,
            self.battery,
        );
        [head.as_bytes(), name, tail.as_bytes()].concat()
    }
}

/// A number with six decimals, as C's `%.6f` writes it, which distinguishes `nan` and `-nan`.
fn as_c_prints(number: f64) -> String {
    match (number.is_nan(), number.is_sign_negative()) {
        (true, true) => "-nan".into(),
        (true, false) => "nan".into(),
        _ => format!("{number:.6}"),
    }
}
