//! Which class is taken for which.

/// How often images of each class were taken for each.
#[derive(Clone, PartialEq, Debug)]
pub struct Confusion {
    classes: Vec<String>,
    /// Row-major: the true class, then the predicted one.
    counts: Vec<u64>,
}

/// How well a class is told.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct ClassFigures {
    /// Its name.
    pub class: String,
    /// Images of it.
    pub images: u64,
    /// Of the images taken for it, the share that are of it; `None` where no image was.
    pub precision: Option<f64>,
    /// Of the images of it, the share that were taken for it; `None` where there are none.
    pub recall: Option<f64>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: Vec<String>) -> Self {
        let counts = vec![0; classes.len() * classes.len()];
        Confusion { classes, counts }
    }

    /// Counts an image of class `label` that was taken for `prediction`. Classes that do not exist are
    /// passed over.
    pub fn count(&mut self, label: usize, prediction: usize) {
        let classes = self.classes.len();
        if label < classes && prediction < classes {
            self.counts[label * classes + prediction] += 1;
        }
    }

    /// The classes' names.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Images of class `label` that were taken for each class; none of a class that does not exist.
    pub fn row(&self, label: usize) -> &[u64] {
        let classes = self.classes.len();
        self.counts.get(label * classes..(label + 1) * classes).unwrap_or(&[])
    }

    /// All images.
    pub fn images(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Those that were told rightly.
    pub fn right(&self) -> u64 {
        self.counts.iter().step_by(self.classes.len() + 1).sum()
    }

    /// Precision and recall of each class.
    pub fn figures(&self) -> Vec<ClassFigures> {
        let classes = self.classes.len();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let figures = self.classes.iter().enumerate().map(|(i, class)| {
            let images = self.row(i).iter().sum();
            let taken: u64 = self.counts.iter().skip(i).step_by(classes).sum();
            let right = self.counts[i * (classes + 1)];
            let (precision, recall) = (share(right, taken), share(right, images));
            ClassFigures { class: class.clone(), images, precision, recall }
        });
        figures.collect()
    }

    /// The most frequent confusions: true class, predicted class, count; at most `most`.
    pub fn worst(&self, most: usize) -> Vec<(&str, &str, u64)> {
        let classes = self.classes.len();
        let wrong = (0..self.counts.len())
            .filter(|i| i / classes != i % classes && self.counts[*i] > 0)
            .map(|i| {
                let (label, prediction) = (&self.classes[i / classes], &self.classes[i % classes]);
                (label.as_str(), prediction.as_str(), self.counts[i])
            });
        let mut wrong: Vec<_> = wrong.collect();
        wrong.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        wrong.truncate(most);
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_definitions() {
        let names = ["a", "b", "c", "never"].map(str::to_owned).to_vec();
        let mut confusion = Confusion::new(names);
        let pairs =
            [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (1, 0), (1, 0), (2, 2), (9, 0), (0, 9)];
        pairs.iter().for_each(|&(label, prediction)| confusion.count(label, prediction));
        assert_eq!((confusion.images(), confusion.right()), (8, 4));
        assert_eq!(confusion.row(1), [3, 1, 0, 0]);
        assert!(confusion.row(7).is_empty());
        let figures = confusion.figures();
        let of = |i: usize| (figures[i].images, figures[i].precision, figures[i].recall);
        assert_eq!(of(0), (3, Some(2.0 / 5.0), Some(2.0 / 3.0)));
        assert_eq!(of(1), (4, Some(1.0 / 2.0), Some(1.0 / 4.0)));
        assert_eq!(of(2), (1, Some(1.0), Some(1.0)));
        assert_eq!(of(3), (0, None, None));
        assert_eq!(confusion.worst(5), [("b", "a", 3), ("a", "b", 1)]);
        assert_eq!(confusion.worst(1), [("b", "a", 3)]);
        let empty = Confusion::new(vec![]);
        assert_eq!((empty.images(), empty.figures().len(), empty.worst(3).len()), (0, 0, 0));
    }
}
