//! Types that may lie in a segment.

/// A type whose values are nothing but their bytes: every pattern of bytes is a value, no byte is
/// padding, and none is part of a pointer. Then another process, in another language, may write the
/// bytes, and reading them is no more than reading numbers.
///
/// Integers, floats and arrays of them are. For structures of your own, switch on the feature
/// `bytemuck`, derive `bytemuck::Pod`, which makes the compiler check all of this, and put them in a
/// `Pod`.
///
/// # Safety
/// As said above.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($number:ty)*) => {
        $(
            // SAFETY: numbers are their bytes, and every pattern is one.
            unsafe impl Plain for $number {}
        )*
    };
}

plain! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

// SAFETY: an array is its elements, one behind the other without a gap.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A structure of your own that [`bytemuck::Pod`] vouches for.
#[cfg(feature = "bytemuck")]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(transparent)]
pub struct Pod<T>(pub T);

// SAFETY: a bytemuck::Pod has no padding, no pointer and no invalid pattern, and this is the same.
#[cfg(feature = "bytemuck")]
unsafe impl<T: bytemuck::Pod + Send + Sync> Plain for Pod<T> {}
