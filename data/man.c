#include "data/man.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* --- text ------------------------------------------------------------------------------------ */

/* U+FFFD: cleaning drops what has a character nobody here knows. */
static const char unknown[] = "\xEF\xBF\xBD";

static const char *named_character(const char *name, size_t n) {
  static const char *const table[][2] = {
      {"aq", "'"},      {"dq", "\""},     {"lq", "\u201C"}, {"rq", "\u201D"}, {"oq", "\u2018"},
      {"cq", "\u2019"}, {"em", "\u2014"}, {"en", "\u2013"}, {"bu", "\u2022"}, {"co", "\u00A9"},
      {"rs", "\\"},     {"ha", "^"},      {"ti", "~"},      {"ga", "`"},      {"hy", "-"},
      {"mi", "-"},      {"sh", "#"},      {"at", "@"},      {"la", "\u27E8"}, {"ra", "\u27E9"},
      {"Fo", "\u00AB"}, {"Fc", "\u00BB"}, {"->", "\u2192"}, {"<-", "\u2190"}, {"mu", "\u00D7"},
      {"Bq", "\u201E"}, {"bv", "|"},      {"or", "|"},      {"sl", "/"},      {"ul", "_"},
      {"char46", "."},  {"de", "\u00B0"}, {">=", "\u2265"}, {"<=", "\u2264"}, {"+-", "\u00B1"},
      {"Aq", "'"},      {"R", "\u00AE"},  {"Tm", "\u2122"}, {"Do", "$"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strlen(table[i][0]) == n && !strncmp(table[i][0], name, n)) return table[i][1];
  return unknown;
}

/* The name after \( \[ \* \f and the like; returns where the text goes on. */
static const char *escape_name(const char *p, const char **name, size_t *n) {
  if (*p == '(') {
    *name = p + 1;
    *n = strnlen(p + 1, 2);
    return p + 1 + *n;
  }
  if (*p == '[') {
    *name = p + 1;
    *n = strcspn(p + 1, "]");
    return p + 1 + *n + (p[1 + *n] == ']');
  }
  *name = p;
  *n = *p ? 1 : 0;
  return p + *n;
}

/* Adds text with its escapes resolved and its fonts gone. */
static void add_text(dg_strbuf *out, const char *p) {
  const char *name;
  size_t n;
  while (*p) {
    if (*p != '\\') {
      dg_strbuf_addc(out, *p++);
      continue;
    }
    char c = *++p;
    if (!c) return;
    p++;
    switch (c) {
      case 'f':
      case 'F':
      case 'm': p = escape_name(p, &name, &n); break;
      case '(':
      case '[':
        p = escape_name(p - 1, &name, &n);
        dg_strbuf_add(out, named_character(name, n));
        break;
      case '*':
        p = escape_name(p, &name, &n);
        dg_strbuf_add(out, named_character(name, n));
        break;
      case 's': /* \s-2 \s0 */
        if (*p == '+' || *p == '-') p++;
        if (isdigit((unsigned char)*p)) p++;
        break;
      case '-': dg_strbuf_addc(out, '-'); break;
      case 'e':
      case 'E':
      case '\\': dg_strbuf_addc(out, '\\'); break;
      case ' ':
      case '~':
      case '0': dg_strbuf_addc(out, ' '); break;
      case '\'': dg_strbuf_addc(out, '\''); break;
      case '`': dg_strbuf_addc(out, '`'); break;
      case '.': dg_strbuf_addc(out, '.'); break;
      case '&':
      case '/':
      case ',':
      case '|':
      case '^':
      case '%':
      case ':':
      case 'c':
      case 'p': break;
      case '"':
      case '#': return; /* a comment */
      default: dg_strbuf_add(out, unknown);
    }
  }
}

/* The next argument of a macro, quotes gone; NULL at the end. The line is cut up. */
static char *argument(char **at) {
  char *p = *at + strspn(*at, " \t"), *out = p;
  if (!*p) return NULL;
  char *begin = p;
  bool quoted = *p == '"';
  if (quoted) p++;
  while (*p && (quoted || (*p != ' ' && *p != '\t'))) {
    if (quoted && *p == '"') {
      if (p[1] != '"') break;
      p++;
    }
    if (*p == '\\' && p[1]) *out++ = *p++;
    *out++ = *p++;
  }
  if (*p) p++;
  *at = p;
  *out = 0;
  return begin;
}

/* --- pages ----------------------------------------------------------------------------------- */

typedef struct page {
  dg_outline *o;
  dg_strbuf run;
  uint64_t key;
  bool label;    /* the next line is a .TP's label */
  int verbatim;  /* depth of .nf, .EX, .TS */
} page;

static void flush(page *p) {
  if (p->run.length && p->run.text[strspn(p->run.text, " \n")])
    dg_outline_add(p->o, p->key, p->run.text);
  dg_strbuf_clear(&p->run);
}

static void begin(page *p, const char *macro) {
  flush(p);
  p->label = false;
  p->key = dg_outline_key(0, macro);
}

static void add_line(page *p, const char *text) {
  if (p->verbatim) return;
  if (p->run.length) dg_strbuf_addc(&p->run, ' ');
  add_text(&p->run, text);
  if (p->label) begin(p, "TP body");
}

/* Words of .B, .BR and the like: single fonts put blanks between them, pairs do not. */
static void add_fonts(page *p, const char *macro, char *rest) {
  dg_strbuf b = {0};
  bool single = !macro[1] || !strcmp(macro, "SM") || !strcmp(macro, "SB");
  for (char *a; (a = argument(&rest));) {
    if (single && b.length) dg_strbuf_addc(&b, ' ');
    dg_strbuf_add(&b, a);
  }
  if (b.length) add_line(p, b.text);
  free(b.text);
}

/* False: the page is not for us. */
static bool request(page *p, char *line) {
  static const char *const fonts[] = {"B",  "I",  "R",  "SM", "SB", "BR", "RB", "BI",
                                      "IB", "IR", "RI", NULL};
  static const char *const plain[] = {"PP", "P", "LP", NULL};
  static const char *const opens[] = {"nf", "EX", "TS", "EQ", NULL};
  static const char *const closes[] = {"fi", "EE", "TE", "EN", NULL};
  static const char *const foreign[] = {"Dd", "Sh", "so", "while", "am", NULL};
  char name[8] = "";
  size_t n = 0;
  line += strspn(line, " \t");
  while (line[n] && line[n] != ' ' && line[n] != '\t' && n + 1 < sizeof name) n++;
  memcpy(name, line, n);
  char *rest = line + n;
  if (dg_is_one_of(name, foreign)) return false;
  if (dg_is_one_of(name, closes)) {
    flush(p);
    if (p->verbatim) p->verbatim--;
  } else if (dg_is_one_of(name, opens)) {
    flush(p);
    p->verbatim++;
  } else if (p->verbatim) {
    return true;
  } else if (dg_is_one_of(name, fonts)) {
    add_fonts(p, name, rest);
  } else if (dg_is_one_of(name, plain)) {
    begin(p, "PP");
  } else if (!strcmp(name, "SH") || !strcmp(name, "SS")) {
    begin(p, name);
    dg_strbuf title = {0};
    for (char *a; (a = argument(&rest));) {
      if (title.length) dg_strbuf_addc(&title, ' ');
      dg_strbuf_add(&title, a);
    }
    if (title.length) {
      add_line(p, title.text);
      begin(p, "PP");
    } else {
      p->label = true; /* on the next line */
    }
    free(title.text);
  } else if (!strcmp(name, "TP") || !strcmp(name, "TQ")) {
    begin(p, "TP");
    p->label = true;
  } else if (!strcmp(name, "IP")) {
    begin(p, "IP");
    char *mark = argument(&rest);
    if (mark && *mark) {
      add_line(p, mark);
      begin(p, "IP body");
    }
  } else if (!strcmp(name, "HP") || !strcmp(name, "RS") || !strcmp(name, "RE")) {
    begin(p, name);
  } else if (!strcmp(name, "UR") || !strcmp(name, "MT")) {
    char *address = argument(&rest);
    if (address) add_line(p, address);
  } else if (!strcmp(name, "UE") || !strcmp(name, "ME")) {
    char *after = argument(&rest);
    if (after && p->run.length) add_text(&p->run, after);
  } else if (!strcmp(name, "br") || !strcmp(name, "sp")) {
    uint64_t key = p->key;
    begin(p, name);
    p->key = dg_outline_key(key, name);
  }
  return true; /* .TH, .ad, .ie and so on give no text */
}

bool dg_man_outline(const void *bytes, size_t size, dg_outline *o) {
  char *copy = dg_strndup(bytes, size), *at = copy;
  page p = {.o = o, .key = 0};
  bool ok = strlen(copy) == size, header = false, definition = false;
  while (ok && at && *at) {
    char *line = strsep(&at, "\n");
    size_t n = strcspn(line, "\r");
    line[n] = 0;
    if (definition) {
      definition = strcmp(line, "..") != 0;
    } else if (*line == '.' || *line == '\'') {
      if (!strncmp(line + 1, "\\\"", 2) || !line[1]) continue;
      header = header || !strncmp(line, ".TH", 3);
      if (!strncmp(line, ".de", 3)) definition = true;
      else ok = !strstr(line, "\\{") && request(&p, line + 1);
    } else if (!*line) {
      begin(&p, "PP");
    } else {
      add_line(&p, line);
    }
  }
  flush(&p);
  free(p.run.text);
  free(copy);
  return ok && header;
}

/* usr/share/man/manN/NAME.N.gz, translated in usr/share/man/LANG/manN/NAME.N.gz */
static bool place(const char *path, dg_strbuf *locale, dg_strbuf *document) {
  static const char directory[] = "usr/share/man/";
  if (strncmp(path, directory, sizeof directory - 1)) return false;
  const char *rest = path + sizeof directory - 1, *slash = strchr(rest, '/');
  if (!slash) return false;
  bool english = !strncmp(rest, "man", 3) && slash == rest + 4;
  dg_strbuf_addn(locale, english ? "en" : rest, english ? 2 : (size_t)(slash - rest));
  dg_strbuf_add(document, english ? rest : slash + 1);
  return !strncmp(document->text, "man", 3);
}

/* What the pages of manpages-* translate is spread over these. */
static const char *const *english(const char *package) {
  static const char *const packages[] = {
      "manpages",   "manpages-dev", "coreutils", "util-linux", "bsdutils",   "mount",
      "fdisk",      "bash",         "grep",      "sed",        "gawk",       "tar",
      "gzip",       "bzip2",        "xz-utils",  "findutils",  "diffutils",  "less",
      "procps",     "psmisc",       "e2fsprogs", "systemd",    "udev",       "kmod",
      "iproute2",   "net-tools",    "hostname",  "cpio",       "groff-base", "debianutils",
      "wget",       "rsync",        "lsof",      "file",       "time",       "patch",
      "gpg",        "gpgv",         "gpg-agent", "dirmngr",    "cron",       "at",
      "libc-bin",   "gettext",      "texinfo",   "curl",       "mtools",     "dosfstools",
      "ncurses-bin", "systemd-container", "uuid-runtime", "bsdextrautils", "btrfs-progs", NULL};
  return !strncmp(package, "manpages-", 9) && strcmp(package, "manpages-dev") ? packages : NULL;
}

static void read_pages(const char *root, const char *english_root, const dg_pair_sink *sink) {
  static const dg_document_kind kind = {place, dg_man_outline, DG_ALIGN_SIGNED};
  dg_read_documents(&kind, root, english_root, sink);
}

const dg_source dg_source_man = {"man", false, english, read_pages};
