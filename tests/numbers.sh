# For the scripts of tests/cli: parallel text without end, numbers in words.
spanish="cero uno dos tres cuatro cinco seis siete ocho nueve"
galician="cero un dous tres catro cinco seis sete oito nove"
ukrainian="нуль один два три чотири п'ять шість сім вісім дев'ять"
# For a recipe: a base that learns in a second.
tiny_shape='vocab_size = 300
d_model = 32
encoder_layers = 1
decoder_layers = 1
heads = 2
ffn_dim = 64
max_positions = 64'
# pairs FROM TO DIGITS: so many numbers, in English and in the language of these digits.
pairs() {
  awk -v from="$1" -v to="$2" -v digits="$3" 'BEGIN {
    split("zero one two three four five six seven eight nine", english, " ")
    split(digits, word, " ")
    for (i = from; i <= to; i++) {
      x = (i * 7919) % 100003; a = b = ""
      while (x > 0) { d = x % 10; x = int(x / 10); a = a english[d + 1] " "; b = b word[d + 1] " " }
      sub(/ $/, "", a); sub(/ $/, "", b); print a "\t" b
    }
  }'
}
