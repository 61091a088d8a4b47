#!/bin/sh
# What shipped.tsv and shipped-fp32.tsv say, in Markdown: the base's scores by language, what the
# shipped adapters add, placeholders that are lost, and what 8 bits cost.
#   tests/transfer/shipped-summary.sh
set -eu
cd "$(dirname "$0")"
awk -F'\t' '
  FNR == 1 { next }
  file == 2 {
    k = $1 SUBSEP $3
    if ($2 == "base" && k in bleu) { sum[$3] += $5 - bleu[k]; n[$3]++; d = $5 - bleu[k]; if (d < 0) d = -d; if (d > most) most = d }
    next
  }
  {
    score = sprintf("%.1f / %.1f", $5, $6)
    translated[$3] += $4; lost[$3] += $7
  }
  $2 == "base" {
    bleu[$1, $3] = $5
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
    printf "\n%d of %d translations of test sets have other placeholders or tags than their source.\n", lost["test"], translated["test"]
    printf "fp32 less 8 bits: %+.3f BLEU on the %d test sets and %+.3f on the dev sets in the mean, at most %.2f either way.\n",
      sum["test"] / n["test"], n["test"], sum["dev"] / n["dev"], most
  }' file=1 shipped.tsv file=2 shipped-fp32.tsv
