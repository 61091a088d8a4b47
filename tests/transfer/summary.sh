#!/bin/sh
# What table.tsv, paired.tsv and forgetting.tsv say, in Markdown: scores by the number of pairs,
# pairs measured at one size, what methods cost, and whether the method keeps its promises.
#   tests/transfer/summary.sh [TABLE]
# Of rows of several bases those of the last row's count; scores are means over seeds, and p is by
# paired approximate randomization over the test sentences, of several seeds the largest.
set -eu
cd "$(dirname "$0")/../.."
table=${1:-tests/transfer/table.tsv}
directory=$(dirname "$table")
awk -F'\t' -v name="$table" '
  BEGIN {
    methods = split("scratch bottleneck lora full", method, " ")
    label["scratch"] = "from scratch"; label["bottleneck"] = "bottlenecks"
    label["lora"] = "LoRA"; label["full"] = "all weights"
    steps = split("500 2000 20000", step, " "); split("BLEU chrF", metric, " ")
  }
  FNR == 1 { delete column; for (i = 1; i <= NF; i++) column[$i] = i; next }
  file == 1 { last = $column["base_hash"]; next }
  $column["base_hash"] != last { next }
  file == 2 {
    p = $column["pair"]; m = $column["method"]; s = $column["size"]
    if ($column["BLEU"] !~ /^[0-9]/) next
    if (!(p in relative)) { pair[++pairs] = p; relative[p] = $column["relative"] }
    if ($column["relative"] != relative[p]) {
      others = others sprintf("%s%s as %s %.1f / %.1f", others ? ", " : "", p, $column["relative"],
        $column["BLEU"], $column["chrF"])
      next
    }
    if (s + 0 && s != 2000) several[p] = 1
    k = p SUBSEP s SUBSEP m
    bleu[k] += $column["BLEU"]; chrf[k] += $column["chrF"]; n[k]++
    trained[k] = $column["pairs"]; tested[k] = $column["test"]; weights[k] = $column["parameters"]
    if (s == 2000) {
      cost[++costs] = p SUBSEP m
      parameters[costs] = $column["parameters"]
      minutes[costs] = $column["minutes"] * $column["threads"]
      memory[costs] = $column["peak_MiB"]
    }
    next
  }
  file == 3 {
    k = $column["pair"] SUBSEP $column["size"] SUBSEP $column["method"] SUBSEP $column["against"]
    gains[k]++
    for (i = 1; i <= 2; i++) {
      gain[i, k] += $column[metric[i] "_difference"]; p = $column[metric[i] "_p"]
      if (!((i, k) in chance) || p > chance[i, k]) chance[i, k] = p # of several seeds the largest
    }
    next
  }
  $column["model"] == "base" { known[$column["pair"]] = $column["BLEU"]; next }
  { after[++models] = $column["BLEU"]; of[models] = $column["pair"] }

  function median(list, count,   i, k, x, sorted) {
    for (i = 1; i <= count; i++) {
      x = list[i]
      for (k = i - 1; k > 0 && sorted[k] > x; k--) sorted[k + 1] = sorted[k]
      sorted[k + 1] = x
    }
    least = sorted[1]; most = sorted[count]
    return count % 2 ? sorted[(count + 1) / 2] : (sorted[count / 2] + sorted[count / 2 + 1]) / 2
  }
  # Over the pairs that all methods were trained on.
  function comparable(p,   m) {
    for (m = 1; m <= methods; m++) if (!((p, 2000, method[m]) in n)) return 0
    return 1
  }
  function median_of(table, m,   i, list, count, key) {
    for (i = 1; i <= costs; i++) {
      split(cost[i], key, SUBSEP)
      if (key[2] == m && comparable(key[1])) list[++count] = table[i]
    }
    return median(list, count)
  }
  function scores(p, s, m,   k) {
    k = p SUBSEP s SUBSEP m
    return k in n ? sprintf("%.1f / %.1f", bleu[k] / n[k], chrf[k] / n[k]) : "-"
  }
  function difference(i, k) {
    return sprintf("%+.1f%s", gain[i, k] / gains[k], chance[i, k] < 0.05 ? "*" : "")
  }
  function versus(p, s, m, other,   k) {
    k = p SUBSEP s SUBSEP m SUBSEP other
    return k in gains ? difference(1, k) " / " difference(2, k) : "-"
  }
  function begin_row(p, s, m,   k) {
    k = p SUBSEP s SUBSEP m
    if (!(k in n)) return 0
    printf "| %s | %s | %s | %s | %s | %s |", p, relative[p], tested[k], trained[k],
      scores(p, 0, "copy"), scores(p, 0, "base")
    return 1
  }
  # Over the rows that have both, the difference in BLEU and what share of the weights it takes.
  function compare(m, other, what,   i, t, k, a, f, rows, better, worse, differences, share) {
    for (i = 1; i <= pairs; i++)
      for (t = 1; t <= steps; t++) {
        a = pair[i] SUBSEP step[t] SUBSEP m; f = pair[i] SUBSEP step[t] SUBSEP other
        if (!(a in n) || !(f in n)) continue
        differences[++rows] = bleu[a] / n[a] - bleu[f] / n[f]
        share[rows] = 100 * weights[a] / weights[f]
        k = a SUBSEP other
        if (k in gains && chance[1, k] < 0.05) if (gain[1, k] > 0) better++; else worse++
      }
    if (!rows) return
    printf "- %s: median %+.2f BLEU", what, median(differences, rows)
    printf " (%+.2f to %+.2f, of %d pairs and sizes, with p < 0.05 %d times more and %d times less)",
      least, most, rows, better, worse
    printf ", with %.2f%% of the parameters", median(share, rows)
    printf " (%.2f%% to %.2f%%).\n", least, most
  }
  END {
    if (!pairs) { print "there is nothing in " name >"/dev/stderr"; exit 1 }
    print "BLEU / chrF2 by the number of pairs trained on:\n"
    print "| pair | as | test | pairs | source copied | untouched base | from scratch | bottlenecks" \
      " | LoRA | all weights |"
    print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for (i = 1; i <= pairs; i++)
      for (t = 1; (pair[i] in several) && t <= steps; t++)
        if (begin_row(pair[i], step[t], "bottleneck")) {
          for (k = 1; k <= methods; k++) printf " %s |", scores(pair[i], step[t], method[k])
          print ""
        }
    print "\nWith at most 2,000 pairs; * p < 0.05:\n"
    print "| pair | as | test | pairs | source copied | untouched base | bottlenecks | LoRA | all weights" \
      " | bottlenecks - base | bottlenecks - all weights | LoRA - bottlenecks |"
    print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for (i = 1; i <= pairs; i++)
      if (begin_row(pair[i], 2000, "bottleneck"))
        printf " %s | %s | %s | %s | %s | %s |\n", scores(pair[i], 2000, "bottleneck"),
          scores(pair[i], 2000, "lora"), scores(pair[i], 2000, "full"),
          versus(pair[i], 2000, "bottleneck", "base"), versus(pair[i], 2000, "bottleneck", "full"),
          versus(pair[i], 2000, "lora", "bottleneck")
    print "\nWhat a run of 2,000 pairs takes, medians over the pairs of the first table:\n"
    print "| method | parameters | minutes of a core | memory |\n|---|--:|--:|--:|"
    for (i = 1; i <= methods; i++) {
      m = method[i]
      if (median_of(parameters, m))
        printf "| %s | %d | %.1f | %d MiB |\n", label[m], median_of(parameters, m),
          median_of(minutes, m), median_of(memory, m)
    }
    print ""
    for (i = 1; i <= pairs; i++)
      if ((pair[i], 2000, "stacked") in n) {
        printf "- %s on prose, %d sentences: the adapter of user interfaces %s, with one of " \
          "prose on it %s (%s)", pair[i], tested[pair[i], 2000, "stacked"],
          scores(pair[i], 2000, "stacked:language"), scores(pair[i], 2000, "stacked"),
          versus(pair[i], 2000, "stacked", "stacked:language")
        if ((pair[i], 2000, "stacked:control") in n)
          printf "; with one of as many more pairs of user interfaces %s (%s in favour of prose)",
            scores(pair[i], 2000, "stacked:control"), versus(pair[i], 2000, "stacked", "stacked:control")
        print "."
      }
    if (others) printf "- The untouched base told to write another relative: %s.\n", others
    for (i = 1; i <= pairs; i++)
      if ((pair[i], 2000, "base-pieces") in n) {
        printf "- %s without pieces of the language'"'"'s own, 2,000 pairs: bottlenecks %s, %s to all weights", pair[i],
          scores(pair[i], 2000, "base-pieces"), versus(pair[i], 2000, "base-pieces", "full")
        if ((pair[i], 2000, "lora-base-pieces") in n)
          printf "; LoRA %s, %s to all weights", scores(pair[i], 2000, "lora-base-pieces"),
            versus(pair[i], 2000, "lora-base-pieces", "full")
        print "."
      }
    compare("bottleneck", "full", "Bottlenecks less all weights")
    compare("lora", "full", "LoRA less all weights")
    compare("lora", "bottleneck", "LoRA less bottlenecks")
    if (models) {
      for (i = 1; i <= models; i++) lost[i] = known[of[i]] - after[i]
      printf "- What all weights forget of the base'"'"'s own directions: median %.2f BLEU",
        median(lost, models)
      printf " (%.2f to %.2f, %d measured); adapters, nothing: the base is the same bytes.\n",
        least, most, models
    }
  }' file=1 "$table" file=2 "$table" file=3 "$directory/paired.tsv" file=4 "$directory/forgetting.tsv"
