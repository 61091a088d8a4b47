#!/bin/sh
# Draws table.tsv: BLEU by the number of pairs for the full grid (the mean over seeds),
# one panel a pair, and bars for the pairs measured at one size only. Of rows of several bases
# those of the last row's are drawn; rows without a score are passed over.
#   tests/transfer/chart.sh [TABLE] >tests/transfer/table.svg
set -eu
cd "$(dirname "$0")/../.."
table=${1:-tests/transfer/table.tsv}
awk -F'\t' '
  BEGIN {
    methods = split("base scratch bottleneck lora full", order, " ")
    split("#888888 #c05a00 #0b6e4f #3b5bdb #a0286e", colour, " ")
    title["base"] = "untouched base, as the relative"; title["scratch"] = "from scratch"
    title["bottleneck"] = "bottlenecks"; title["lora"] = "LoRA"; title["full"] = "all weights"
    wide = 250; high = 190; left = 40; top = 56
  }
  FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
  NR == FNR { last = $column["base_hash"]; next }
  $column["base_hash"] != last { next }
  {
    p = $column["pair"]; m = $column["method"]; s = $column["size"]; bleu = $column["BLEU"]
    if (!(p in relative)) relative[p] = $column["relative"]
    if (relative[p] != $column["relative"]) next
    if (m ~ /^(copy|(lora-)?base-pieces|stacked.*)$/ || bleu !~ /^[0-9]/) next
    sum[p, m, s] += bleu; n[p, m, s]++
    if (!(p in seen)) { seen[p] = 1; pair[++pairs] = p }
    if (s > 0 && s != 2000) several[p] = 1
    if (bleu > most) most = bleu
  }
  function y(v) { return top + high - v / limit * high }
  function text(x, at, s, more) {
    printf "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, at, more, s
  }
  function mark(x, at, m) {
    printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, at, colour[m]
  }
  function axes(x, w,   v) {
    for (v = 0; v <= limit; v += 10) {
      printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", x, x + w, y(v), y(v)
      text(x - 5, y(v) + 4, v, "text-anchor=\"end\"")
    }
  }
  function value(p, m, s) { return sum[p, m, s] / n[p, m, s] }
  END {
    if (!pairs) { print "there is nothing to draw in " FILENAME >"/dev/stderr"; exit 1 }
    limit = int(most / 10 + 1) * 10
    for (i = 1; i <= pairs; i++) if (pair[i] in several) grid[++grids] = pair[i]; else bar[++bars] = pair[i]
    columns = grids > 3 ? grids : 3
    width = left + columns * (wide + left)
    height = top + (grids ? high + 70 : 0) + (bars ? high + 70 : 0) - 30
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, height
    printf "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height
    for (m = 1; m <= methods; m++) {
      x = left + (m > 1 ? 200 : 0) + (m > 2 ? (m - 2) * 110 : 0)
      mark(x, 14, m); text(x + 8, 18, title[order[m]])
    }
    if (grids) text(left, 36, "BLEU on test sentences, by pairs trained on (all: at most 20,000)", "font-weight=\"bold\"")
    steps = split("500 2000 20000", step, " ")
    for (g = 1; g <= grids; g++) {
      x0 = left + (g - 1) * (wide + left)
      axes(x0, wide); text(x0 + wide / 2, top - 4, grid[g], "text-anchor=\"middle\" font-weight=\"bold\"")
      for (s = 1; s <= steps; s++) {
        at[s] = x0 + 30 + (s - 1) * (wide - 60) / (steps - 1)
        text(at[s], top + high + 14, step[s] == 20000 ? "all" : step[s], "text-anchor=\"middle\"")
      }
      for (m = 1; m <= methods; m++) {
        points = ""
        for (s = 1; s <= steps; s++) {
          z = order[m] == "base" ? 0 : step[s]
          if (!((grid[g], order[m], z) in sum)) continue
          v = y(value(grid[g], order[m], z))
          points = points sprintf("%.1f,%.1f ", at[s], v); mark(at[s], v, m)
        }
        if (points) printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", points, colour[m]
      }
    }
    if (bars) {
      if (grids) top += high + 70
      text(left, top - 14, "BLEU at 2,000 pairs", "font-weight=\"bold\"")
      w = width - 2 * left; axes(left, w); slot = w / bars
      for (b = 1; b <= bars; b++) {
        x = left + (b - 1) * slot
        text(x + slot / 2, top + high + 14, bar[b], "text-anchor=\"middle\"")
        shown = 0; many = 0
        for (m = 1; m <= methods; m++) many += ((bar[b], order[m], (order[m] == "base" ? 0 : 2000)) in sum)
        for (m = 1; m <= methods; m++) {
          z = order[m] == "base" ? 0 : 2000
          if (!((bar[b], order[m], z) in sum)) continue
          v = y(value(bar[b], order[m], z))
          printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x + 6 + shown++ * (slot - 12) / (many > 3 ? many : 3), v, (slot - 12) / (many > 3 ? many : 3) - 1, top + high - v, colour[m]
        }
      }
    }
    print "</svg>"
  }' "$table" "$table"
