#include "eval/mecab.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The head of mecab_dictionary_info_t. */
typedef struct dictionary {
  const char *file, *charset;
  unsigned size;
} dictionary;

enum { IPA = 392126, IPA_DEBIAN = 392127, KO = 811795, TOKEN_BOUNDARY = 1 };

/* The part of MeCab's C interface that is used. The library is opened when it is asked for, so
 * that no one who needs it not has to have it. */
struct dg_mecab {
  void *library, *model, *tagger;
  bool reiwa;
  void *(*model_new)(int count, const char **arguments);
  void (*model_destroy)(void *model);
  const dictionary *(*model_dictionary_info)(void *model);
  void *(*model_new_tagger)(void *model);
  void *(*model_new_lattice)(void *model);
  void (*destroy)(void *tagger);
  void (*lattice_destroy)(void *lattice);
  void (*lattice_set_sentence)(void *lattice, const char *text, size_t n);
  void (*lattice_set_boundary)(void *lattice, size_t at, int kind);
  const char *(*lattice_tostr)(void *lattice);
  int (*parse_lattice)(void *tagger, void *lattice);
  const char *(*version)(void);
};

static bool find(const dg_mecab *m, const char *name, void *function) {
  void *found = dlsym(m->library, name);
  memcpy(function, &found, sizeof found);
  return found != NULL;
}

static bool open_library(dg_mecab *m) {
  m->library = dlopen("libmecab.so.2", RTLD_NOW);
  return m->library && find(m, "mecab_model_new", &m->model_new) &&
         find(m, "mecab_model_destroy", &m->model_destroy) &&
         find(m, "mecab_model_dictionary_info", &m->model_dictionary_info) &&
         find(m, "mecab_model_new_tagger", &m->model_new_tagger) &&
         find(m, "mecab_model_new_lattice", &m->model_new_lattice) &&
         find(m, "mecab_destroy", &m->destroy) &&
         find(m, "mecab_lattice_destroy", &m->lattice_destroy) &&
         find(m, "mecab_lattice_set_sentence2", &m->lattice_set_sentence) &&
         find(m, "mecab_lattice_set_boundary_constraint", &m->lattice_set_boundary) &&
         find(m, "mecab_lattice_tostr", &m->lattice_tostr) &&
         find(m, "mecab_parse_lattice", &m->parse_lattice) && find(m, "mecab_version", &m->version);
}

/* Which dictionary it is sacreBLEU tells by the number of words. Debian's has 令和, the
 * era that began in 2019, besides. */
static bool open_dictionary(dg_mecab *m, const char *tokenizer, const char *directory,
                            dg_error *err) {
  bool japanese = !strcmp(tokenizer, "ja-mecab");
  static const char debian[] = "/var/lib/mecab/dic/ipadic-utf8";
  if (!directory && japanese && !access(debian, R_OK)) directory = debian;
  const char *arguments[] = {"mecab", "-Owakati", "-r", "/dev/null", "-d", directory};
  m->model = m->model_new(directory ? 6 : 2, arguments);
  const dictionary *d = m->model ? m->model_dictionary_info(m->model) : NULL;
  unsigned size = d ? d->size : 0;
  m->reiwa = size == IPA_DEBIAN;
  bool right = d && !strncasecmp(d->charset, "utf", 3) &&
               (japanese ? size == IPA || size == IPA_DEBIAN : size == KO);
  if (!right)
    return dg_fail(err, DG_ERR_UNSUPPORTED,
                   "%s%s is not the dictionary of %s, %s in UTF-8: %s, or name its directory "
                   "with --tokenizer-model",
                   d           ? ""
                   : directory ? "MeCab's dictionary "
                               : "MeCab's own dictionary",
                   d           ? d->file
                   : directory ? directory
                               : "",
                   tokenizer, japanese ? "ipadic" : "mecab-ko-dic",
                   japanese ? "install the package mecab-ipadic-utf8" : "install it");
  m->tagger = m->model_new_tagger(m->model);
  return m->tagger || dg_fail(err, DG_ERR_UNSUPPORTED, "MeCab does not start");
}

dg_mecab *dg_mecab_open(const char *tokenizer, const char *directory, dg_error *err) {
  dg_mecab *m = dg_calloc(1, sizeof *m);
  if (!open_library(m))
    dg_fail(err, DG_ERR_UNSUPPORTED,
            "the tokenizer %s needs MeCab, which is not here: install the package libmecab2",
            tokenizer);
  else if (open_dictionary(m, tokenizer, directory, err))
    return m;
  dg_mecab_free(m);
  return NULL;
}

void dg_mecab_free(dg_mecab *m) {
  if (!m) return;
  if (m->tagger) m->destroy(m->tagger);
  if (m->model) m->model_destroy(m->model);
  if (m->library) dlclose(m->library);
  free(m);
}

const char *dg_mecab_version(const dg_mecab *m) { return m->version(); }

/* The two characters are words apart where the word is not in the dictionary. */
static void part_reiwa(const dg_mecab *m, void *lattice, const char *text, size_t n) {
  static const char word[] = "令和";
  const char *end = text + n, *hit = text;
  while ((hit = memmem(hit, (size_t)(end - hit), word, sizeof word - 1))) {
    hit += (sizeof word - 1) / 2;
    m->lattice_set_boundary(lattice, (size_t)(hit - text), TOKEN_BOUNDARY);
  }
}

bool dg_mecab_words(const dg_mecab *m, const char *text, size_t n, dg_strbuf *out, dg_error *err) {
  void *lattice = m->model_new_lattice(m->model);
  m->lattice_set_sentence(lattice, text, n);
  if (m->reiwa) part_reiwa(m, lattice, text, n);
  const char *words = m->parse_lattice(m->tagger, lattice) ? m->lattice_tostr(lattice) : NULL;
  if (words) dg_strbuf_add(out, words);
  m->lattice_destroy(lattice);
  return words || dg_fail(err, DG_ERR_FORMAT, "MeCab gave up on a segment");
}
