#!/bin/sh
# What shipped.tsv and shipped-fp32.tsv say, in Markdown: the base's scores by language, what the
# shipped adapters add, placeholders that are lost, and what 8 bits cost.
#   tests/transfer/shipped-summary.sh
set -eu
cd "$(dirname "$0")"
awk -F'\t' '
  FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
  { pair = $1; set = $3; b = $column["BLEU"]; score = sprintf("%.1f / %.1f", b, $column["chrF"]) }
  file == 2 {
    if ($2 != "base" || !((pair, set) in bleu)) next
    d = b - bleu[pair, set]
    sum[set] += d; squares[set] += d * d; n[set]++
    if (d > 0.2) worse[set]++
    if (d < -0.2) better[set]++
    if (d > most[set]) most[set] = d
    next
  }
  $2 == "base" { translated[set] += $4; lost[set] += $column["lost"] }
  $2 == "base" {
    bleu[$1, $3] = b
    split($1, code, /-en$|^en-/)
    language = code[1] code[2]; from = $1 ~ /^en-/
    if (!(language in seen)) { seen[language]; order[++languages] = language }
    cell[language, from, $3] = score
    next
  }
  {
    row = $1 " | " ($2 == "adapter" ? "**adapter**" : "untouched base, " substr($2, 6))
    if (!(row in seen)) { seen[row]; rows[++count] = row }
    cell[row, $3] = score
  }
  END {
    print "| | from English, dev | from English, test | into English, dev | into English, test |"
    print "|---|--:|--:|--:|--:|"
    for (i = 1; i <= languages; i++) {
      l = order[i]
      printf "| %s | %s | %s | %s | %s |\n", l, cell[l, 1, "dev"], cell[l, 1, "test"], cell[l, 0, "dev"], cell[l, 0, "test"]
    }
    print "\n| pair | system | dev | test |\n|---|---|--:|--:|"
    for (i = 1; i <= count; i++) printf "| %s | %s | %s |\n", rows[i], cell[rows[i], "dev"], cell[rows[i], "test"]
    printf "\n%d of the base'"'"'s %d translations of test sets have other placeholders or tags than their source.\n",
      lost["test"], translated["test"]
    for (s = split("test dev", sets, " "); s > 0; s--) {
      k = sets[s]; mean = sum[k] / n[k]
      printf "fp32 less 8 bits, %s: %+.3f BLEU in the mean of %d (standard error %.3f); more than 0.2 are lost %d times, " \
        "at most %.2f, and gained %d times.\n", k, mean, n[k],
        sqrt((squares[k] / n[k] - mean * mean) / (n[k] - 1)), worse[k], most[k], better[k]
    }
  }' file=1 shipped.tsv file=2 shipped-fp32.tsv
