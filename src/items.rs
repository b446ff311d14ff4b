//! Where items come from: a slice, or a function of the index ([`Items`]).
//!
//! Profiling asks about items in a random order, so a run needs to fetch any item by its index.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::backend::guard::panicked;
use crate::error::RunError;

/// A finite collection of items that can be fetched by index, in any order.
///
/// Slices, vectors and arrays implement it, for anything that borrows as the backends' item type: a
/// `Vec<String>` or a `[&str; 3]` serves backends over `str`, a `Vec<Row>` backends over `Row`. What points
/// to a collection is one too: `&S`, `Box<S>`, and an `Arc<[Row]>` that threads share. [`Generated`] computes
/// its items and stores none.
pub trait Items<I: ?Sized>: Send + Sync {
    /// What the collection holds for one item.
    type Item: Borrow<I>;
    /// How an item is held while calls about it are under way.
    type Held<'a>: Deref<Target = Self::Item> + Send + Sync
    where
        Self: 'a;

    /// How many items there are.
    fn count(&self) -> u64;

    /// Fetches the item at an index below [`count`](Self::count). A panic here ends the run as
    /// [`RunError::Item`], after the calls under way.
    fn fetch(&self, index: u64) -> Option<Self::Held<'_>>;
}

/// Fetches an item, or the error of a collection that does not have it or panics on it. As an error, it
/// ends the run after the calls under way and not in the middle of them.
pub(crate) fn held<I: ?Sized, S: Items<I> + ?Sized>(
    items: &S,
    index: u64,
) -> Result<S::Held<'_>, RunError> {
    let population = items.count();
    let fetched = catch_unwind(AssertUnwindSafe(|| items.fetch(index)));
    let fetched = fetched.map_err(|panic| {
        let why = panicked(&*panic).message().to_owned();
        RunError::Item { index, why }
    })?;
    fetched.ok_or(RunError::OutsidePopulation { index, population })
}

macro_rules! contiguous {
    ($($items:ty $(, $length:ident)?;)*) => {$(
        impl<I: ?Sized, T: Borrow<I> + Send + Sync $(, const $length: usize)?> Items<I> for $items {
            type Item = T;
            type Held<'a>
                = &'a T
            where
                T: 'a;

            fn count(&self) -> u64 {
                self.len() as u64
            }

            fn fetch(&self, index: u64) -> Option<&T> {
                self.get(usize::try_from(index).ok()?)
            }
        }
    )*};
}
contiguous! {
    [T];
    Vec<T>;
    [T; N], N;
}

macro_rules! pointing {
    ($($pointer:ty;)*) => {$(
        impl<I: ?Sized, S: Items<I> + ?Sized> Items<I> for $pointer {
            type Item = S::Item;
            type Held<'a>
                = S::Held<'a>
            where
                Self: 'a;

            fn count(&self) -> u64 {
                (**self).count()
            }

            fn fetch(&self, index: u64) -> Option<S::Held<'_>> {
                (**self).fetch(index)
            }
        }
    )*};
}
pointing! {
    &S;
    Box<S>;
    Arc<S>;
}

/// Items computed from their index when they are needed.
///
/// ```
/// use smart_core::{Generated, Items};
/// let items = Generated::new(1_000_000, |index| format!("review {index}"));
/// assert_eq!(Items::<str>::fetch(&items, 7).as_deref().map(String::as_str), Some("review 7"));
/// ```
#[derive(Clone)]
pub struct Generated<F> {
    count: u64,
    make: F,
}

impl<F> Generated<F> {
    /// Makes `count` items, each by calling `make` with its index.
    pub const fn new(count: u64, make: F) -> Self {
        Self { count, make }
    }
}

impl<F> fmt::Debug for Generated<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generated").field("count", &self.count).finish_non_exhaustive()
    }
}

/// An item held by value, as [`Generated`] hands it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned<T>(pub T);

impl<T> Deref for Owned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<I, T, F> Items<I> for Generated<F>
where
    I: ?Sized,
    T: Borrow<I> + Send + Sync + 'static,
    F: Fn(u64) -> T + Send + Sync,
{
    type Item = T;
    type Held<'a>
        = Owned<T>
    where
        F: 'a;

    fn count(&self) -> u64 {
        self.count
    }

    fn fetch(&self, index: u64) -> Option<Owned<T>> {
        (index < self.count).then(|| Owned((self.make)(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_points_to_a_collection_is_one() {
        fn third<S: Items<str> + ?Sized>(items: &S) -> (u64, Option<String>) {
            let held = items.fetch(2);
            (items.count(), held.map(|held| (*held).borrow().to_owned()))
        }
        let wanted = (3, Some("c".to_owned()));
        let shared: Arc<[String]> = ["a", "b", "c"].map(str::to_owned).into();
        let slice: &[String] = &shared;
        let boxed: Box<[&str]> = Box::new(["a", "b", "c"]);
        assert_eq!(third(&shared), wanted);
        assert_eq!(third(slice), wanted);
        assert_eq!(third(&slice), wanted);
        assert_eq!(third(&boxed), wanted);
        assert_eq!(third(&Arc::new(&boxed)), wanted);
        assert_eq!(third(&&Generated::new(3, |index| if index == 2 { "c" } else { "a" })), wanted);
        assert_eq!(Items::<str>::fetch(&shared, 3), None);
    }
}
