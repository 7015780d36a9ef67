//! One function compiled for several processors.

/// Defines a function and its twins for newer processors, of which the best that there is runs.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        // Inlined into a crate that is compiled for size, its loops would be too.
        #[inline(never)]
        $vis fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma")]
                fn avx512($($arg: $type),*) {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    body($($arg),*)
                }
                if crate::x86::has_vnni() {
                    // SAFETY: the features were detected.
                    #[allow(unsafe_code)]
                    return unsafe { avx512($($arg),*) };
                }
                if crate::x86::has_avx2() {
                    // SAFETY: the features were detected.
                    #[allow(unsafe_code)]
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use multiversion;
