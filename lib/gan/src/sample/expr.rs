//! Arithmetic on latents, as in section 6.3.2 of the DCGAN paper (Radford et al. 2016): smiling woman −
//! neutral woman + neutral man.
//!
//! The grammar, with spaces anywhere between tokens:
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = unary { ("*" | "/") unary }
//! unary   = "-" unary | image | factor | "mean" "(" image { "," image } ")" | "(" sum ")"
//! image   = digits                 the latent of the image of that index
//! factor  = digits "." digits
//! ```
//!
//! Latents are added to latents, and multiplied and divided by factors. So an expression is a weighted sum of
//! *terms*: the means and single images, in the order in which they are written.

use std::str::FromStr;

use super::{CHUNK, Latents};
use crate::{Error, Result};

/// The maximum number of terms: with the result they fill a chunk.
const MAX_TERMS: usize = CHUNK - 1;
/// How deep parentheses and signs may be nested.
const MAX_DEPTH: usize = 64;

/// A parsed expression.
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
    /// One line: the column, counted in characters from 1, and what is wrong there.
    fn from_str(text: &str) -> Result<Expr, String> {
        let mut parser = Parser { chars: text.chars().collect(), at: 0, depth: 0, terms: Vec::new() };
        let value = parser.sum()?;
        match (value, parser.peek()) {
            (_, Some(_)) => Err(parser.expected("an operator")),
            (Value::Factor(_), None) => Err(at(0, "a factor alone is no image; multiply one, as in 0.5*3")),
            (Value::Latent(_), None) => Ok(Expr { text: text.into(), terms: parser.terms }),
        }
    }
}

impl Expr {
    /// The latents of the terms, without their weights, in order, and last the result. The images are indices
    /// of latents in `source`. Sums are taken in f64.
    ///
    /// # Errors
    /// `source` has no such latent, or a number is too large for f32.
    pub fn latents(&self, source: &Latents) -> Result<Latents> {
        let nz = source.nz;
        let (mut rows, mut result) = (Vec::new(), vec![0.0; nz]);
        for term in &self.terms {
            let mut mean = vec![0.0; nz];
            for &image in &term.images {
                let latent = source.latent(image, "expr")?;
                mean.iter_mut().zip(latent).for_each(|(m, v)| *m += f64::from(v));
            }
            mean.iter_mut().for_each(|m| *m /= term.images.len() as f64);
            result.iter_mut().zip(&mean).for_each(|(r, m)| *r += term.weight * m);
            rows.extend(mean.iter().map(|&m| m as f32));
        }
        rows.extend(result.iter().map(|&r| r as f32));
        if rows.iter().any(|v| !v.is_finite()) {
            return Err(Error::argument("expr", "the latents are too large for f32: use smaller factors"));
        }
        Ok(Latents::from_rows(rows, nz, source.provenance_with([("expr", self.text.as_str().into())])))
    }
}

/// What a part of an expression is.
#[derive(Clone, Copy)]
enum Value {
    /// A latent: all terms from this one on.
    Latent(usize),
    Factor(f64),
}

/// A recursive-descent parser. Signs and factors multiply the weights of the terms that were read before
/// them.
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
                _ => return Err(at(column, "an image and a factor cannot be added; an image has no point")),
            };
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Value, String> {
        let mut left = self.unary()?;
        while let Some((operator, column)) = self.operator(['*', '/']) {
            left = match (left, operator, self.unary()?) {
                (_, '/', Value::Factor(0.0)) => return Err(at(column, "division by 0")),
                (Value::Factor(a), '/', Value::Factor(b)) => Value::Factor(a / b),
                (Value::Factor(a), _, Value::Factor(b)) => Value::Factor(a * b),
                (Value::Latent(from), '/', Value::Factor(b)) => self.scale(from, 1.0 / b),
                (Value::Latent(from), '*', Value::Factor(b)) => self.scale(from, b),
                (Value::Factor(a), '*', Value::Latent(from)) => self.scale(from, a),
                _ => {
                    let what = "an image needs a factor here; a factor has a point: 2.0 (2 is image 2)";
                    return Err(at(column, what));
                }
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(at(self.at, "parentheses or signs are nested too deep"));
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
            _ => return Err(self.expected("an image, mean(…), a factor or a parenthesis")),
        };
        self.depth -= 1;
        Ok(value)
    }

    /// An image; with a decimal point, a factor.
    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        let whole = self.digits();
        if self.chars.get(self.at) != Some(&'.') {
            self.at = start;
            let image = self.image()?;
            return self.term(vec![image], start);
        }
        self.at += 1;
        let fraction = self.digits();
        if fraction.is_empty() {
            return Err(at(self.at, "a factor has digits after its point, as in 2.0"));
        }
        Ok(Value::Factor(format!("{whole}.{fraction}").parse().expect("digits, a point, digits")))
    }

    fn mean(&mut self) -> Result<Value, String> {
        let start = self.at;
        let name = self.take_while(char::is_alphabetic);
        if name != "mean" {
            return Err(at(start, &format!("there is no `{name}`; use mean, as in mean(3,7)")));
        }
        self.expect('(')?;
        let mut images = vec![self.image()?];
        while self.next_is(',') {
            images.push(self.image()?);
        }
        match self.next_is(')') {
            true => self.term(images, start),
            false => Err(self.expected("`,` or `)`")),
        }
    }

    fn image(&mut self) -> Result<u32, String> {
        self.peek();
        let start = self.at;
        let digits = self.digits();
        if digits.is_empty() {
            return Err(self.expected("an image"));
        }
        digits.parse().map_err(|_| at(start, &format!("image {digits}: the last one is {}", u32::MAX)))
    }

    fn term(&mut self, images: Vec<u32>, column: usize) -> Result<Value, String> {
        if self.terms.len() == MAX_TERMS {
            return Err(at(column, &format!("more than {MAX_TERMS} terms")));
        }
        self.terms.push(Term { images, weight: 1.0 });
        Ok(Value::Latent(self.terms.len() - 1))
    }

    /// Multiplies a latent: all terms since `from`.
    fn scale(&mut self, from: usize, factor: f64) -> Value {
        self.terms[from..].iter_mut().for_each(|term| term.weight *= factor);
        Value::Latent(from)
    }

    /// One of two operators with its column, if it is the next token.
    fn operator(&mut self, which: [char; 2]) -> Option<(char, usize)> {
        let next = self.peek().filter(|c| which.contains(c))?;
        self.at += 1;
        Some((next, self.at - 1))
    }

    /// Takes the next token if it is `wanted`.
    fn next_is(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.next_is(wanted) { Ok(()) } else { Err(self.expected(&format!("`{wanted}`"))) }
    }

    fn digits(&mut self) -> String {
        self.take_while(|c| c.is_ascii_digit())
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> String {
        let taken: String = self.chars[self.at..].iter().take_while(|&&c| is(c)).collect();
        self.at += taken.chars().count();
        taken
    }

    /// Skips spaces; the next character.
    fn peek(&mut self) -> Option<char> {
        self.take_while(char::is_whitespace);
        self.chars.get(self.at).copied()
    }

    fn expected(&mut self, what: &str) -> String {
        let found = self.peek().map_or("the end".to_string(), |c| format!("`{c}`"));
        at(self.at, &format!("expected {what}, found {found}"))
    }
}

/// An error at a character of the expression.
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
            ("", "column 1: expected an image, mean(…), a factor or a parenthesis, found the end"),
            ("1 +", "column 4: expected an image, mean(…), a factor or a parenthesis, found the end"),
            ("1 2", "column 3: expected an operator, found `2`"),
            ("(1+2", "column 5: expected `)`, found the end"),
            ("1+2)", "column 4: expected an operator, found `)`"),
            ("mean 3", "column 6: expected `(`, found `3`"),
            ("mean()", "column 6: expected an image, found `)`"),
            ("mean(1,)", "column 8: expected an image, found `)`"),
            ("mean(1;2)", "column 7: expected `,` or `)`, found `;`"),
            ("mean(1.5)", "column 7: expected `,` or `)`, found `.`"),
            ("1 + median(2)", "column 5: there is no `median`; use mean, as in mean(3,7)"),
            ("2*mean(1,2)", "column 2: an image needs a factor here; a factor has a point: 2.0"),
            ("0.5/1", "column 4: an image needs a factor here"),
            ("1 + 0.5", "column 3: an image and a factor cannot be added"),
            ("0.5", "column 1: a factor alone is no image"),
            ("1*2.", "column 5: a factor has digits after its point"),
            (".5*1", "column 1: expected an image, mean(…), a factor or a parenthesis, found `.`"),
            ("1/0.0", "column 2: division by 0"),
            ("− 3", "column 1: expected an image, mean(…), a factor or a parenthesis, found `−`"),
            ("7+4294967296", "column 3: image 4294967296: the last one is 4294967295"),
            (&deep, "column 65: parentheses or signs are nested too deep"),
            (&signs, "column 65: parentheses or signs are nested too deep"),
            (&many, "column 127: more than 63 terms"),
        ] {
            let line = text.parse::<Expr>().unwrap_err();
            assert!(line.starts_with(expected), "{text}: {line}");
        }
    }

    #[test]
    fn latents_are_the_terms_and_the_result() {
        let rows = [1.0f32, 2.0, 3.0, 6.0, -1.0, 0.5];
        let source = Latents::from_rows(rows.to_vec(), 2, serde_json::json!({}));
        let expr: Expr = "mean(0,1) - 0.5*2".parse().unwrap();
        let latents = expr.latents(&source).unwrap();
        let row = |i| latents.latent(i, "").unwrap();
        assert_eq!([row(0), row(1), row(2)], [[2.0, 4.0], [-1.0, 0.5], [2.5, 3.75]]);
        assert_eq!((latents.count(), &latents.provenance()["expr"]), (3, &"mean(0,1) - 0.5*2".into()));

        let line = |text: &str| text.parse::<Expr>().unwrap().latents(&source).unwrap_err().to_string();
        assert_eq!(line("1+3"), "expr: there is no image 3 among 3 latents");
        let huge = format!("1*{}.0", "9".repeat(60));
        assert_eq!(line(&huge), "expr: the latents are too large for f32: use smaller factors");
        let zero = format!("0/{}1", "0.".to_string() + &"0".repeat(400));
        assert!(zero.parse::<Expr>().unwrap_err().contains("division by 0"));
    }
}
