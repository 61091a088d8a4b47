#include "mt/import/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "mt/core/mem.h"

/* Values are numbered nodes in one array and refer only to nodes made before them, or,
 * for what a dictionary holds, to entries in a list. Nothing here recurses: the depth
 * of a pickle costs no stack. */

typedef enum kind {
  NONE,
  NUMBER,
  TEXT,
  MARK,
  TUPLE, /* items[first .. first+count) */
  LIST,  /* its items are of no interest */
  DICT,
  STORAGE_TYPE,
  MAKE_DICT,
  MAKE_TENSOR,
  STORAGE,
  TENSOR
} kind;

typedef struct node {
  kind kind;
  int64_t number;     /* NUMBER; the dtype of STORAGE_TYPE and STORAGE; index of TENSOR */
  const char *text;   /* TEXT, and the key of STORAGE */
  size_t first, count;
} node;

typedef struct entry {
  uint32_t dict, key, value;
} entry;

typedef struct machine {
  const uint8_t *bytes;
  size_t size, at, opcode_at;
  node *nodes;
  size_t node_count, node_capacity;
  uint32_t *stack, *items, *memo;
  size_t depth, stack_capacity, item_count, item_capacity, memo_count, memo_capacity;
  entry *entries;
  size_t entry_count, entry_capacity;
  dg_pickle tensors; /* nameless, in the order they were made */
  dg_error *err;
} machine;

/* One long string may be told again and again by its number: names are copied. */
enum { NAME_MOST = 512, TENSORS_MOST = 1 << 16 };

static const uint32_t NOWHERE = UINT32_MAX;

static bool damaged(const machine *m, const char *what) {
  dg_fail(m->err, DG_ERR_FORMAT, "the pickle is damaged at byte %zu: %s", m->opcode_at, what);
  return false;
}

static bool take(machine *m, size_t n, const uint8_t **out) {
  if (n > m->size - m->at) return damaged(m, "it ends too early");
  *out = m->bytes + m->at;
  m->at += n;
  return true;
}

/* Little-endian, of n <= 8 bytes. */
static bool take_number(machine *m, size_t n, uint64_t *out) {
  const uint8_t *p;
  if (!take(m, n, &p)) return false;
  *out = 0;
  for (size_t i = n; i-- > 0;) *out = *out << 8 | p[i];
  return true;
}

static bool push(machine *m, uint32_t id) {
  DG_GROW(m->stack, m->stack_capacity, m->depth + 1);
  m->stack[m->depth++] = id;
  return true;
}

static bool push_node(machine *m, node n) {
  DG_GROW(m->nodes, m->node_capacity, m->node_count + 1);
  m->nodes[m->node_count++] = n;
  return push(m, (uint32_t)(m->node_count - 1));
}

static bool push_int(machine *m, int64_t number) {
  return push_node(m, (node){.kind = NUMBER, .number = number});
}

static node *top(machine *m, size_t below) {
  return m->depth > below ? &m->nodes[m->stack[m->depth - 1 - below]] : NULL;
}

static bool is(machine *m, size_t below, kind k) {
  const node *n = top(m, below);
  return n && n->kind == k;
}

/* Where the items after the last mark begin on the stack. */
static bool find_mark(machine *m, size_t *first) {
  for (*first = m->depth; *first; --*first)
    if (m->nodes[m->stack[*first - 1]].kind == MARK) return true;
  return damaged(m, "there is no mark");
}

/* The stack from `first` on becomes a tuple, in place of `drop` things from there. */
static bool make_tuple(machine *m, size_t first, size_t drop) {
  if (first > m->depth || drop > first) return damaged(m, "the stack is empty");
  size_t count = m->depth - first;
  node n = {.kind = TUPLE, .first = m->item_count, .count = count};
  DG_GROW(m->items, m->item_capacity, m->item_count + count);
  for (size_t i = 0; i < count; i++) m->items[m->item_count++] = m->stack[first + i];
  m->depth = first - drop;
  return push_node(m, n);
}

static bool push_text(machine *m, size_t length) {
  const uint8_t *p;
  if (!take(m, length, &p)) return false;
  if (memchr(p, 0, length)) return damaged(m, "a string holds a NUL");
  /* The terminator needs a copy; it hangs on a node, which owns it. */
  return push_node(m, (node){.kind = TEXT, .text = dg_strndup((const char *)p, length)});
}

/* --- globals ------------------------------------------------------------------------ */

static const struct {
  const char *module, *name;
  kind kind;
  dg_dtype dtype;
} globals[] = {
    {"collections", "OrderedDict", MAKE_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", MAKE_TENSOR, 0},
    {"torch", "FloatStorage", STORAGE_TYPE, DG_F32},
    {"torch", "HalfStorage", STORAGE_TYPE, DG_F16},
    {"torch", "BFloat16Storage", STORAGE_TYPE, DG_BF16_T},
    {"torch", "DoubleStorage", STORAGE_TYPE, DG_F64},
    {"torch", "LongStorage", STORAGE_TYPE, DG_I64},
    {"torch", "IntStorage", STORAGE_TYPE, DG_I32},
    {"torch", "ShortStorage", STORAGE_TYPE, DG_I16},
    {"torch", "CharStorage", STORAGE_TYPE, DG_I8},
    {"torch", "ByteStorage", STORAGE_TYPE, DG_U8},
    {"torch", "BoolStorage", STORAGE_TYPE, DG_BOOL},
};

static bool is_text(const char *text, const char *want, size_t n) {
  return strlen(want) == n && !memcmp(text, want, n);
}

/* What a hostile file wrote, fit for one line of a message. */
static void printable(char out[65], const char *text, size_t n) {
  if (n > 64) n = 64;
  for (size_t i = 0; i < n; i++) out[i] = text[i] > ' ' && text[i] < 127 ? text[i] : '?';
  out[n] = 0;
}

static bool push_global(machine *m, const char *module, size_t a, const char *name, size_t b) {
  for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
    if (is_text(module, globals[i].module, a) && is_text(name, globals[i].name, b))
      return push_node(m, (node){.kind = globals[i].kind, .number = globals[i].dtype});
  char x[65], y[65];
  printable(x, module, a);
  printable(y, name, b);
  return dg_fail(m->err, DG_ERR_UNSUPPORTED,
                 "the pickle asks for %s.%s at byte %zu, which tensors do not need: it could run "
                 "code, so it is refused",
                 x, y, m->opcode_at);
}

static bool take_line(machine *m, const char **text, size_t *n) {
  const uint8_t *begin = m->bytes + m->at, *end = memchr(begin, '\n', m->size - m->at);
  if (!end) return damaged(m, "it ends too early");
  *text = (const char *)begin;
  *n = (size_t)(end - begin);
  m->at += *n + 1;
  return true;
}

static bool global_by_line(machine *m) {
  const char *module, *name;
  size_t a, b;
  return take_line(m, &module, &a) && take_line(m, &name, &b) &&
         push_global(m, module, a, name, b);
}

static bool global_by_stack(machine *m) {
  if (!is(m, 0, TEXT) || !is(m, 1, TEXT)) return damaged(m, "a global has no name");
  const char *name = top(m, 0)->text, *module = top(m, 1)->text;
  m->depth -= 2;
  return push_global(m, module, strlen(module), name, strlen(name));
}

/* --- tensors ------------------------------------------------------------------------ */

/* Item i of a tuple if it is of kind k, else NULL. */
static const node *item(const machine *m, const node *tuple, size_t i, kind k) {
  if (tuple->kind != TUPLE || i >= tuple->count) return NULL;
  const node *n = &m->nodes[m->items[tuple->first + i]];
  return n->kind == k ? n : NULL;
}

/* ("storage", type, key, location, elements) */
static bool storage(machine *m) {
  const node *id = top(m, 0);
  if (!id) return damaged(m, "the stack is empty");
  const node *word = item(m, id, 0, TEXT), *type = item(m, id, 1, STORAGE_TYPE);
  const node *key = item(m, id, 2, TEXT), *count = item(m, id, 4, NUMBER);
  if (!word || strcmp(word->text, "storage") || !type || !key || !count || count->number < 0)
    return damaged(m, "a reference is not to a storage");
  if (strlen(key->text) > NAME_MOST) return damaged(m, "a storage's name has no end");
  node n = {.kind = STORAGE, .number = type->number, .text = key->text,
            .count = (size_t)count->number};
  m->depth--;
  return push_node(m, n);
}

static bool read_sizes(const machine *m, const node *tuple, size_t dims, size_t *out) {
  if (!tuple || tuple->count != dims) return false;
  for (size_t i = 0; i < dims; i++) {
    const node *n = item(m, tuple, i, NUMBER);
    if (!n || n->number < 0) return false;
    out[i] = (size_t)n->number;
  }
  return true;
}

/* Whether every element lies inside the storage and none is there twice by a stride of
 * zero: so the storage bounds what the tensor takes. */
static bool inside(const dg_pickle_tensor *t) {
  size_t last = t->offset, count = 1, reach;
  for (size_t i = 0; i < t->dims; i++)
    if (!t->shape[i]) return t->offset <= t->storage_count;
  for (size_t i = 0; i < t->dims; i++)
    if (__builtin_mul_overflow(t->shape[i] - 1, t->stride[i], &reach) ||
        __builtin_add_overflow(last, reach, &last) ||
        __builtin_mul_overflow(count, t->shape[i], &count))
      return false;
  return last < t->storage_count && count <= t->storage_count;
}

/* _rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks, ...) */
static bool tensor(machine *m, const node *arguments) {
  const node *from = item(m, arguments, 0, STORAGE), *offset = item(m, arguments, 1, NUMBER);
  const node *shape = item(m, arguments, 2, TUPLE);
  if (!from || !offset || offset->number < 0 || !shape)
    return damaged(m, "a tensor lacks its storage or shape");
  if (shape->count > DG_ST_DIMS)
    return dg_fail(m->err, DG_ERR_UNSUPPORTED,
                   "the pickle holds a tensor of %zu dimensions; this program reads up to %d",
                   shape->count, DG_ST_DIMS);
  dg_pickle_tensor t = {.dtype = (dg_dtype)from->number, .storage_count = from->count,
                        .offset = (size_t)offset->number, .dims = shape->count};
  if (!read_sizes(m, shape, t.dims, t.shape) ||
      !read_sizes(m, item(m, arguments, 3, TUPLE), t.dims, t.stride) || !inside(&t))
    return damaged(m, "a tensor reaches outside its storage");
  dg_pickle *list = &m->tensors;
  if (list->count == TENSORS_MOST) return damaged(m, "it has too many tensors");
  t.storage = dg_strdup(from->text);
  DG_GROW(list->tensors, list->capacity, list->count + 1);
  list->tensors[list->count++] = t;
  m->depth -= 2;
  return push_node(m, (node){.kind = TENSOR, .number = (int64_t)(list->count - 1)});
}

static bool reduce(machine *m) {
  if (!is(m, 0, TUPLE) || m->depth < 2) return damaged(m, "a call has no arguments");
  const node *arguments = top(m, 0);
  if (is(m, 1, MAKE_TENSOR)) return tensor(m, arguments);
  if (!is(m, 1, MAKE_DICT) || arguments->count)
    return damaged(m, "it calls what is not called for tensors");
  m->depth -= 2;
  return push_node(m, (node){.kind = DICT});
}

/* --- containers ----------------------------------------------------------------------- */

static bool set_items(machine *m, size_t first, size_t drop) {
  if (first > m->depth || first < drop + 1 ||
      m->nodes[m->stack[first - drop - 1]].kind != DICT || (m->depth - first) % 2)
    return damaged(m, "entries are set on what is no dictionary");
  uint32_t dict = m->stack[first - drop - 1];
  for (size_t i = first; i < m->depth; i += 2) {
    DG_GROW(m->entries, m->entry_capacity, m->entry_count + 1);
    m->entries[m->entry_count++] = (entry){dict, m->stack[i], m->stack[i + 1]};
  }
  m->depth = first - drop;
  return true;
}

static bool append(machine *m, size_t first, size_t drop) {
  if (first > m->depth || first < drop + 1 ||
      m->nodes[m->stack[first - drop - 1]].kind != LIST)
    return damaged(m, "items are appended to what is no list");
  m->depth = first - drop;
  return true;
}

/* The attributes of an OrderedDict (torch writes _metadata) are passed over. */
static bool build(machine *m) {
  if (!is(m, 0, DICT) || !is(m, 1, DICT)) return damaged(m, "it sets the state of an object");
  m->depth--;
  return true;
}

static bool memorize(machine *m, uint64_t slot) {
  if (!m->depth || is(m, 0, MARK)) return damaged(m, "there is nothing to remember");
  if (slot >= m->size) return damaged(m, "it numbers more values than it can hold");
  DG_GROW(m->memo, m->memo_capacity, (size_t)slot + 1);
  while (m->memo_count <= slot) m->memo[m->memo_count++] = NOWHERE;
  m->memo[slot] = m->stack[m->depth - 1];
  return true;
}

static bool recall(machine *m, uint64_t slot) {
  if (slot >= m->memo_count || m->memo[slot] == NOWHERE)
    return damaged(m, "it recalls what it never stored");
  return push(m, m->memo[slot]);
}

/* --- the interpreter ------------------------------------------------------------------ */

static bool long_integer(machine *m) {
  uint64_t n, value = 0;
  const uint8_t *p;
  if (!take_number(m, 1, &n)) return false;
  if (n > 8) return damaged(m, "an integer has more than 64 bits");
  if (!take(m, (size_t)n, &p)) return false;
  for (size_t i = (size_t)n; i-- > 0;) value = value << 8 | p[i];
  if (n && n < 8 && p[n - 1] >= 0x80) value |= UINT64_MAX << (8 * n);
  return push_int(m, (int64_t)value);
}

static bool step(machine *m, uint8_t opcode) {
  uint64_t n = 0;
  size_t first;
  const uint8_t *p;
  switch (opcode) {
    case 0x80: /* PROTO */
      if (!take_number(m, 1, &n)) return false;
      return (n >= 2 && n <= 5) || damaged(m, "its protocol is not 2 to 5");
    case 0x95: return take(m, 8, &p); /* FRAME */
    case 'c': return global_by_line(m);
    case 0x93: return global_by_stack(m);
    case '(': return push_node(m, (node){.kind = MARK});
    case ')': return make_tuple(m, m->depth, 0);
    case 't': return find_mark(m, &first) && make_tuple(m, first, 1);
    case 0x85:
    case 0x86:
    case 0x87: /* TUPLE1 to TUPLE3 */
      n = opcode - 0x84u;
      if (n > m->depth) return damaged(m, "the stack is empty");
      return make_tuple(m, m->depth - (size_t)n, 0);
    case '}': return push_node(m, (node){.kind = DICT});
    case ']': return push_node(m, (node){.kind = LIST});
    case 's':
      return m->depth < 2 ? damaged(m, "the stack is empty") : set_items(m, m->depth - 2, 0);
    case 'u': return find_mark(m, &first) && set_items(m, first, 1);
    case 'a': return m->depth < 1 ? damaged(m, "the stack is empty") : append(m, m->depth - 1, 0);
    case 'e': return find_mark(m, &first) && append(m, first, 1);
    case 'b': return build(m);
    case 'R': return reduce(m);
    case 'Q': return storage(m);
    case 'X': return take_number(m, 4, &n) && push_text(m, (size_t)n);
    case 0x8c: return take_number(m, 1, &n) && push_text(m, (size_t)n);
    case 'J': return take_number(m, 4, &n) && push_int(m, (int32_t)(uint32_t)n);
    case 'K': return take_number(m, 1, &n) && push_int(m, (int64_t)n);
    case 'M': return take_number(m, 2, &n) && push_int(m, (int64_t)n);
    case 0x8a: return long_integer(m);
    case 'G': return take(m, 8, &p) && push_node(m, (node){.kind = NONE}); /* a double */
    case 'N': return push_node(m, (node){.kind = NONE});
    case 0x88:
    case 0x89: return push_int(m, opcode == 0x88); /* True, False */
    case 'q': return take_number(m, 1, &n) && memorize(m, n);
    case 'r': return take_number(m, 4, &n) && memorize(m, n);
    case 0x94: return memorize(m, m->memo_count);
    case 'h': return take_number(m, 1, &n) && recall(m, n);
    case 'j': return take_number(m, 4, &n) && recall(m, n);
    default:
      return dg_fail(m->err, DG_ERR_UNSUPPORTED,
                     "the pickle has opcode 0x%02x at byte %zu, which tensors do not need: it is "
                     "refused",
                     opcode, m->opcode_at);
  }
}

static bool interpret(machine *m) {
  for (;;) {
    m->opcode_at = m->at;
    const uint8_t *opcode;
    if (!take(m, 1, &opcode)) return false;
    if (*opcode == '.') break;
    if (!step(m, *opcode)) return false;
  }
  if (m->depth != 1 || !is(m, 0, DICT)) return damaged(m, "it holds no dictionary of tensors");
  return true;
}

static void free_tensor(dg_pickle_tensor *t) {
  free(t->name);
  free(t->storage);
}

/* The tensors that the outermost dictionary names. */
static bool collect(const machine *m, dg_pickle *out) {
  for (size_t i = 0; i < m->entry_count; i++) {
    const entry *e = &m->entries[i];
    const node *key = &m->nodes[e->key], *value = &m->nodes[e->value];
    if (e->dict != m->stack[0] || key->kind != TEXT || value->kind != TENSOR) continue;
    if (strlen(key->text) > NAME_MOST) return damaged(m, "a tensor's name has no end");
    dg_pickle_tensor t = m->tensors.tensors[value->number];
    t.name = dg_strdup(key->text);
    t.storage = dg_strdup(t.storage);
    DG_GROW(out->tensors, out->capacity, out->count + 1);
    out->tensors[out->count++] = t;
  }
  return true;
}

bool dg_pickle_read(const uint8_t *bytes, size_t size, dg_pickle *out, dg_error *err) {
  machine m = {.bytes = bytes, .size = size, .err = err};
  *out = (dg_pickle){0};
  bool ok = interpret(&m);
  ok = ok && collect(&m, out);
  if (!ok) dg_pickle_free(out);
  for (size_t i = 0; i < m.node_count; i++)
    if (m.nodes[i].kind == TEXT) free((char *)(uintptr_t)m.nodes[i].text);
  free(m.nodes);
  free(m.stack);
  free(m.items);
  free(m.memo);
  free(m.entries);
  dg_pickle_free(&m.tensors);
  return ok;
}

void dg_pickle_free(dg_pickle *p) {
  for (size_t i = 0; i < p->count; i++) free_tensor(&p->tensors[i]);
  free(p->tensors);
  *p = (dg_pickle){0};
}
