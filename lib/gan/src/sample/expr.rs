//! Arithmetic on latents, as section 6.3.2 of the DCGAN paper (Radford et al. 2016) has it: smiling women − women + men.
//!
//! The grammar, with spaces anywhere between its words:
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = unary { ("*" | "/") unary }
//! unary   = "-" unary | image | factor | "mean" "(" image { "," image } ")" | "(" sum ")"
//! image = digits                  the latent of the image of that number
//! factor  = digits "." digits
//! ```
//!
//! A latent is added to latents, and multiplied and divided by factors; the whole is a latent. So it is a weighted sum of
//! its *terms*, the means and single images in the order in which they are written.

use std::fmt;
use std::str::FromStr;

use super::{CHUNK, Latents};
use crate::{Error, Result};

/// The most terms: with the result they fill a chunk.
const MAX_TERMS: usize = CHUNK - 1;
/// How deep parentheses and signs may lie in one another.
const MAX_DEPTH: usize = 64;

/// An expression that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    text: String,
    terms: Vec<Term>,
}

/// A weighted mean of images' latents.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    images: Vec<u32>,
    weight: f64,
}

impl FromStr for Expr {
    type Err = String;

    /// Parses an expression.
    ///
    /// # Errors
    /// One line that begins with the column, counted in characters from 1, and says what is wrong there.
    fn from_str(text: &str) -> Result<Expr, String> {
        let mut parser = Parser { chars: text.chars().collect(), at: 0, depth: 0, terms: Vec::new() };
        let value = parser.sum()?;
        match (value, parser.peek()) {
            (_, Some(_)) => Err(parser.wanted("an operator")),
            (Value::Factor(_), None) => Err(at(0, "a factor alone is no image; name one, as in 0.5*3")),
            (Value::Latent(_), None) => Ok(Expr { text: text.into(), terms: parser.terms }),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expr {
    /// The latents of its terms, without their weights, in order, and its own last; images are numbers of latents in
    /// `source`. Sums are taken in f64.
    ///
    /// # Errors
    /// `source` has no such latent, or the result is beyond what an f32 can hold.
    pub fn latents(&self, source: &Latents) -> Result<Latents> {
        let nz = source.nz();
        let (mut rows, mut result) = (Vec::new(), vec![0.0; nz]);
        for term in &self.terms {
            let mut mean = vec![0.0; nz];
            for &image in &term.images {
                let latent = source.latent(image, "--expr")?;
                mean.iter_mut().zip(latent).for_each(|(m, v)| *m += f64::from(v));
            }
            mean.iter_mut().for_each(|m| *m /= term.images.len() as f64);
            result.iter_mut().zip(&mean).for_each(|(r, m)| *r += term.weight * m);
            rows.extend(mean.iter().map(|&m| m as f32));
        }
        rows.extend(result.iter().map(|&r| r as f32));
        if rows.iter().any(|v| !v.is_finite()) {
            return Err(Error::Invalid(format!("--expr \"{self}\": its numbers are too large")));
        }
        let mut about = source.about().clone();
        about["expr"] = self.text.as_str().into();
        Ok(Latents::given(rows, nz, about))
    }
}

/// What a part of an expression is.
#[derive(Clone, Copy)]
enum Value {
    /// A latent: the terms from this one to the last of them that were read.
    Latent(usize),
    Factor(f64),
}

/// Reads from left to right, one character ahead; the terms' weights change as it learns of signs and factors.
struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    terms: Vec<Term>,
}

impl Parser {
    fn sum(&mut self) -> Result<Value, String> {
        let mut left = self.product()?;
        while let Some((operator, column)) = self.operator(['+', '-']) {
            let sign = if operator == '-' { -1.0 } else { 1.0 };
            left = match (left, self.product()?) {
                (Value::Latent(from), Value::Latent(second)) => {
                    self.scale(second, sign);
                    Value::Latent(from)
                }
                (Value::Factor(a), Value::Factor(b)) => Value::Factor(a + sign * b),
                _ => return Err(at(column, "a latent and a factor do not add up; an image has no point")),
            };
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Value, String> {
        let mut left = self.unary()?;
        while let Some((operator, column)) = self.operator(['*', '/']) {
            left = match (left, operator, self.unary()?) {
                (_, '/', Value::Factor(0.0)) => return Err(at(column, "a division by 0")),
                (Value::Factor(a), '/', Value::Factor(b)) => Value::Factor(a / b),
                (Value::Factor(a), _, Value::Factor(b)) => Value::Factor(a * b),
                (Value::Latent(from), '/', Value::Factor(b)) => self.scale(from, 1.0 / b),
                (Value::Latent(from), '*', Value::Factor(b)) => self.scale(from, b),
                (Value::Factor(a), '*', Value::Latent(from)) => self.scale(from, a),
                _ => {
                    let what = "a latent takes a factor here, and a factor has a point: 2.0 (2 is image 2)";
                    return Err(at(column, what));
                }
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(at(self.at, "too many parentheses or signs in one another"));
        }
        let value = match self.peek() {
            Some('-') => {
                self.at += 1;
                match self.unary()? {
                    Value::Factor(a) => Value::Factor(-a),
                    Value::Latent(from) => self.scale(from, -1.0),
                }
            }
            Some('(') => {
                self.at += 1;
                let value = self.sum()?;
                self.expect(')')?;
                value
            }
            Some(c) if c.is_ascii_digit() => self.number()?,
            Some(c) if c.is_alphabetic() => self.mean()?,
            _ => return Err(self.wanted("an image's number, mean(…), a factor or a parenthesis")),
        };
        self.depth -= 1;
        Ok(value)
    }

    /// An image, or with a point a factor.
    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        let whole = self.digits();
        if self.chars.get(self.at) != Some(&'.') {
            let image = image(&whole, start)?;
            return self.term(vec![image], start);
        }
        self.at += 1;
        let fraction = self.digits();
        if fraction.is_empty() {
            return Err(at(self.at, "a factor has digits after its point, as 2.0"));
        }
        let factor = format!("{whole}.{fraction}").parse().expect("digits, a point, digits");
        Ok(Value::Factor(factor))
    }

    fn mean(&mut self) -> Result<Value, String> {
        let start = self.at;
        let letters: String = self.chars[start..].iter().take_while(|c| c.is_alphabetic()).collect();
        if letters != "mean" {
            return Err(at(start, &format!("`{letters}` means nothing; there is mean(3,7)")));
        }
        self.at += letters.len();
        self.expect('(')?;
        let mut images = Vec::new();
        loop {
            self.peek();
            let start = self.at;
            let digits = self.digits();
            if digits.is_empty() {
                return Err(self.wanted("an image's number"));
            }
            images.push(image(&digits, start)?);
            match self.peek() {
                Some(',') => self.at += 1,
                Some(')') => break,
                _ => return Err(self.wanted("`,` or `)`")),
            }
        }
        self.at += 1;
        self.term(images, start)
    }

    fn term(&mut self, images: Vec<u32>, column: usize) -> Result<Value, String> {
        if self.terms.len() == MAX_TERMS {
            return Err(at(column, &format!("more than {MAX_TERMS} terms")));
        }
        self.terms.push(Term { images, weight: 1.0 });
        Ok(Value::Latent(self.terms.len() - 1))
    }

    /// Multiplies a latent, that of all terms since `from`.
    fn scale(&mut self, from: usize, factor: f64) -> Value {
        self.terms[from..].iter_mut().for_each(|term| term.weight *= factor);
        Value::Latent(from)
    }

    /// One of two operators with its column, if it is next.
    fn operator(&mut self, which: [char; 2]) -> Option<(char, usize)> {
        let next = self.peek().filter(|c| which.contains(c))?;
        self.at += 1;
        Some((next, self.at - 1))
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.peek() != Some(wanted) {
            return Err(self.wanted(&format!("`{wanted}`")));
        }
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> String {
        let digits: String = self.chars[self.at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        self.at += digits.len();
        digits
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        self.at += self.chars[self.at..].iter().take_while(|c| c.is_whitespace()).count();
        self.chars.get(self.at).copied()
    }

    /// The error that something else is here.
    fn wanted(&mut self, what: &str) -> String {
        let found = self.peek().map_or("the end".to_string(), |c| format!("`{c}`"));
        at(self.at, &format!("{found} where {what} should be"))
    }
}

fn image(digits: &str, column: usize) -> Result<u32, String> {
    digits.parse().map_err(|_| at(column, &format!("image {digits}: numbers go up to {}", u32::MAX)))
}

/// An error at a place in the expression.
fn at(index: usize, what: &str) -> String {
    format!("column {}: {what}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The terms as (images, weight).
    fn terms(text: &str) -> Vec<(Vec<u32>, f64)> {
        let expr: Expr = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        expr.terms.into_iter().map(|term| (term.images, term.weight)).collect()
    }

    fn weights(text: &str) -> Vec<f64> {
        terms(text).into_iter().map(|(_, weight)| weight).collect()
    }

    #[test]
    fn an_expression_is_a_weighted_sum_of_its_terms() {
        let means = terms(" mean(3,7, 9) - mean ( 1,4 ) + 2");
        assert_eq!(means, [(vec![3, 7, 9], 1.0), (vec![1, 4], -1.0), (vec![2], 1.0)]);
        for (text, expected) in [
            ("5", vec![1.0]),
            ("-5", vec![-1.0]),
            ("--5", vec![1.0]),
            ("1-2-3", vec![1.0, -1.0, -1.0]),
            ("1-(2-3)", vec![1.0, -1.0, 1.0]),
            ("-(1-2)", vec![-1.0, 1.0]),
            ("1+0.5*2", vec![1.0, 0.5]),
            ("(1+2)*0.5", vec![0.5, 0.5]),
            ("0.5*(1-2)/0.25", vec![2.0, -2.0]),
            ("1/2.0/2.0", vec![0.25]),
            ("-0.5*1", vec![-0.5]),
            ("1*-0.5 - 2", vec![-0.5, -1.0]),
            ("(0.5+0.25)*1", vec![0.75]),
            ("1.0/4.0*3", vec![0.25]),
            ("3+3", vec![1.0, 1.0]),
        ] {
            assert_eq!(weights(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_point_at_the_column() {
        let deep = format!("{}1", "(".repeat(1000));
        let signs = format!("{}1", "-".repeat(100_000));
        let many = ["1"; 64].join("+");
        for (text, expected) in [
            ("", "column 1: the end where an image's number, mean(…), a factor or a parenthesis should be"),
            ("1 +", "column 4: the end where an image's number, mean(…), a factor or a parenthesis"),
            ("1 2", "column 3: `2` where an operator should be"),
            ("(1+2", "column 5: the end where `)` should be"),
            ("1+2)", "column 4: `)` where an operator should be"),
            ("mean 3", "column 6: `3` where `(` should be"),
            ("mean()", "column 6: `)` where an image's number should be"),
            ("mean(1,)", "column 8: `)` where an image's number should be"),
            ("mean(1;2)", "column 7: `;` where `,` or `)` should be"),
            ("mean(1.5)", "column 7: `.` where `,` or `)` should be"),
            ("1 + median(2)", "column 5: `median` means nothing; there is mean(3,7)"),
            ("2*mean(1,2)", "column 2: a latent takes a factor here, and a factor has a point: 2.0"),
            ("0.5/1", "column 4: a latent takes a factor here"),
            ("1 + 0.5", "column 3: a latent and a factor do not add up"),
            ("0.5", "column 1: a factor alone is no image"),
            ("1*2.", "column 5: a factor has digits after its point"),
            (".5*1", "column 1: `.` where an image's number"),
            ("1/0.0", "column 2: a division by 0"),
            ("− 3", "column 1: `−` where"),
            ("7+4294967296", "column 3: image 4294967296: numbers go up to 4294967295"),
            (&deep, "column 65: too many parentheses or signs in one another"),
            (&signs, "column 65: too many parentheses or signs in one another"),
            (&many, "column 127: more than 63 terms"),
        ] {
            let line = text.parse::<Expr>().unwrap_err();
            assert!(line.starts_with(expected), "{text}: {line}");
        }
    }

    #[test]
    fn latents_are_the_terms_and_the_result() {
        let rows = [1.0f32, 2.0, 3.0, 6.0, -1.0, 0.5];
        let source = Latents::given(rows.to_vec(), 2, serde_json::json!({}));
        let expr: Expr = "mean(0,1) - 0.5*2".parse().unwrap();
        let latents = expr.latents(&source).unwrap();
        let row = |i| latents.latent(i, "").unwrap();
        assert_eq!([row(0), row(1), row(2)], [[2.0, 4.0], [-1.0, 0.5], [2.5, 3.75]]);
        assert_eq!((latents.count(), &latents.about()["expr"]), (3, &"mean(0,1) - 0.5*2".into()));

        let line = |text: &str| text.parse::<Expr>().unwrap().latents(&source).unwrap_err().to_string();
        assert_eq!(line("1+3"), "--expr: there is no image 3 among 3 latents");
        let huge = format!("1*{}.0", "9".repeat(60));
        assert!(line(&huge).ends_with("its numbers are too large"), "{}", line(&huge));
        let zero = format!("0/{}1", "0.".to_string() + &"0".repeat(400));
        assert!(zero.parse::<Expr>().unwrap_err().contains("a division by 0"));
    }
}
