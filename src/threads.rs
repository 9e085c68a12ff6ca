//! Keeping the threads of the pool at hand.

/// Runs `f` with the other threads of Rayon's pool awake, if this thread is one of the pool's.
///
/// A thread that finds nothing to do goes to sleep, and must be woken for the next loop or product that is split: some
/// twenty times in the step of a small model. In `f` they look for work without pause instead (and let other programs go
/// first), which takes 3 % off that step. From a thread outside of the pool, `f` is called as it is.
#[cfg(feature = "threads")]
pub fn awake<R>(f: impl FnOnce() -> R) -> R {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Sets the flag when it goes, in a panic too: the scope waits for all that it started.
    struct Last<'a>(&'a AtomicBool);

    impl Drop for Last<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let Some(this) = rayon::current_thread_index() else {
        return f();
    };
    let over = AtomicBool::new(false);
    rayon::in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            while context.index() != this && !over.load(Ordering::Relaxed) {
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    std::thread::yield_now();
                }
            }
        });
        let _last = Last(&over);
        f()
    })
}

/// Runs `f`.
#[cfg(not(feature = "threads"))]
pub fn awake<R>(f: impl FnOnce() -> R) -> R {
    f()
}
