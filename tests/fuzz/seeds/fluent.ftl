0-brand = Firefox
key = Open { -brand }
    .title = { $n ->
        [one] a file
       *[other] { $n } files
    }
# c
b = { "x" }
