//! Types whose values may lie in a segment.

use core::{mem::MaybeUninit, ptr, slice};

/// A type whose values may lie in shared memory, because a value is nothing but its bytes.
///
/// Integers, floating-point numbers and arrays of `Plain` types are `Plain`. There are two ways to define a `Plain`
/// struct, and the compiler checks both:
///
/// - [`plain!`](crate::plain) defines the struct, and needs no other crate.
/// - `#[derive(bytemuck::Pod)]`, with the feature `bytemuck` of this crate: wrap the struct in
#[cfg_attr(feature = "bytemuck", doc = "  [`Pod`].")]
#[cfg_attr(not(feature = "bytemuck"), doc = "  `Pod`.")]
///
/// ```
/// use shmkey::Mutex;
///
/// shmkey::plain! {
///     /// What a sensor has measured.
///     #[derive(Debug, PartialEq)]
///     pub struct Reading {
///         pub celsius: f64,
///         pub sensor: u32,
///         pub flags: u32,
///     }
/// }
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of plain {}", std::process::id());
/// let reading = Mutex::open(&name, Reading { celsius: 21.5, sensor: 7, flags: 0 })?;
/// reading.lock()?.update(|reading| reading.flags |= 1);
/// assert_eq!(reading.lock()?.get().flags, 1);
/// # reading.remove()
/// # }
/// ```
///
/// These, among others, are not `Plain`: `bool`, `char` and enums (not every pattern of bytes is a value); references,
/// `Box`, `String` and `Vec` (a pointer is valid in one process only); structs with padding. A struct in C with the
/// same fields in the same order has the same bytes.
///
/// # Safety
/// Every pattern of bytes must be a value, no byte may be padding, and none may be a part of a pointer: then
/// any bytes that another process writes, in any language, can be read as a value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known to be plain bytes, so it cannot lie in shared memory",
    label = "this type is not `Plain`",
    note = "for a struct of your own, define it in `shmkey::plain! {{ … }}`, which checks that it has no padding, no pointer and no invalid value",
    note = "for a type that implements `bytemuck::Pod`, enable the feature `bytemuck` of shmkey and use `shmkey::Pod<{Self}>`",
    note = "`bool`, `char`, enums, references, `String` and `Vec` are never plain; use integers and arrays of fixed length"
)]
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(
            // SAFETY: a number has no padding, and every pattern of its bytes is a value.
            unsafe impl Plain for $number {}
        )*
    };
}

numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

// SAFETY: an array is its elements, one after the other without padding.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Defines structs that may lie in shared memory: with [`Plain`], `Clone` and `Copy`, and the layout of C
/// (`#[repr(C)]`).
///
/// A struct has named fields, each of a type that is [`Plain`], and no generic parameters. Other traits can be
/// derived as usual. The compiler refuses
///
/// - a field whose type is not `Plain`, such as `bool`, a reference or a `String`;
/// - a struct with padding between the fields or behind the last one: order the fields by their size, the
///   largest first, and fill the rest with a field such as `reserved: [u8; 4]`.
///
/// ```
/// use shmkey::Latest;
///
/// shmkey::plain! {
///     #[derive(Debug, Default, PartialEq)]
///     struct Position {
///         latitude: f64,
///         longitude: f64,
///     }
///
///     struct Track {
///         positions: [Position; 16],
///         len: u64,
///     }
/// }
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of the macro plain {}", std::process::id());
/// let latest = Latest::<Position>::open(&name)?;
/// latest.publisher()?.publish(Position { latitude: 52.5, longitude: 13.4 })?;
/// assert_eq!(latest.read()?.unwrap().latitude, 52.5);
/// # latest.remove()
/// # }
/// ```
///
/// Padding is an error:
///
/// ```compile_fail
/// shmkey::plain! {
///     struct Padded {
///         flags: u32,
///         value: u64,
///     }
/// }
/// ```
///
/// So is a field that is not plain:
///
/// ```compile_fail
/// shmkey::plain! {
///     struct Flag {
///         set: bool,
///     }
/// }
/// ```
#[macro_export]
macro_rules! plain {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $type:ty),* $(,)?
        }
    )*) => {$(
        #[repr(C)]
        #[derive(Clone, Copy)]
        $(#[$attribute])*
        $visibility struct $name {
            $($(#[$field_attribute])* $field_visibility $field: $type,)*
        }

        const _: () = {
            assert!(
                ::core::mem::size_of::<$name>() == 0 $(+ ::core::mem::size_of::<$type>())*,
                concat!(
                    "the struct `", stringify!($name), "` has padding; order its fields by size, the \
                     largest first, and fill the rest with a field such as `reserved: [u8; 4]`",
                ),
            );

            #[allow(dead_code)]
            fn every_field_is_plain(value: $name) {
                fn is_plain<T: $crate::Plain>(_: T) {}
                let $name { $($field),* } = value;
                $(is_plain::<$type>($field);)*
            }
        };

        // SAFETY: every field is `Plain`: `every_field_is_plain` names all of them, with these types. Their
        // sizes together are the size of the struct, so there is no padding.
        unsafe impl $crate::Plain for $name {}
    )*};
}

/// A value of a type that implements [`bytemuck::Pod`], for use in shared memory. The derive checks what
/// [`Plain`] promises.
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use shmkey::Latest;
///
/// #[derive(Clone, Copy, Pod, Zeroable)]
/// #[repr(C)]
/// struct Position {
///     latitude: f64,
///     longitude: f64,
/// }
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of Pod {}", std::process::id());
/// let latest = Latest::<shmkey::Pod<Position>>::open(&name)?;
/// let here = Position { latitude: 52.5, longitude: 13.4 };
/// latest.publisher()?.publish(shmkey::Pod(here))?;
/// assert_eq!(latest.read()?.unwrap().latitude, 52.5);
/// # latest.remove()
/// # }
/// ```
#[cfg(feature = "bytemuck")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Pod<T>(pub T);

// SAFETY: a bytemuck::Pod has no padding, no pointer and no invalid pattern, and this has the same layout.
#[cfg(feature = "bytemuck")]
unsafe impl<T: bytemuck::Pod + Send + Sync> Plain for Pod<T> {}

#[cfg(feature = "bytemuck")]
impl<T> From<T> for Pod<T> {
    fn from(value: T) -> Pod<T> {
        Pod(value)
    }
}

#[cfg(feature = "bytemuck")]
impl<T> core::ops::Deref for Pod<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(feature = "bytemuck")]
impl<T> core::ops::DerefMut for Pod<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Returns the bytes of a value.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: no byte of a `Plain` value is padding, and the value is borrowed as long as the slice.
    unsafe { slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Returns the value whose bytes `fill` writes; those that it does not write are 0.
pub(crate) fn read<T: Plain, E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<T, E> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the value's bytes are initialised with 0, and borrowed only here.
    let bytes = unsafe { slice::from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>()) };
    fill(bytes)?;
    // SAFETY: every pattern of bytes is a `Plain` value.
    Ok(unsafe { value.assume_init() })
}
