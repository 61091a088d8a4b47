#include "mt/import/yaml.h"

#include <string.h>
#include <yaml.h>

enum { DEPTH_MOST = 8 };

typedef struct reader {
  yaml_parser_t parser;
  dg_error *err;
} reader;

static bool next(reader *r, yaml_event_t *e) {
  if (yaml_parser_parse(&r->parser, e)) return true;
  return dg_fail(r->err, DG_ERR_FORMAT, "line %zu: %s", r->parser.problem_mark.line + 1,
                 r->parser.problem ? r->parser.problem : "no YAML");
}

static json_t *refuse(reader *r, const yaml_event_t *e, const char *what) {
  dg_fail(r->err, DG_ERR_FORMAT, "line %zu: %s", e->start_mark.line + 1, what);
  return NULL;
}

static json_t *scalar(reader *r, const yaml_event_t *e) {
  json_t *j = json_stringn((const char *)e->data.scalar.value, e->data.scalar.length);
  return j ? j : refuse(r, e, "no UTF-8");
}

static json_t *value(reader *r, yaml_event_t *e, int depth);

static json_t *sequence(reader *r, int depth) {
  json_t *list = json_array();
  for (yaml_event_t e; list && next(r, &e);) {
    bool end = e.type == YAML_SEQUENCE_END_EVENT;
    json_t *item = end ? NULL : value(r, &e, depth);
    yaml_event_delete(&e);
    if (end) return list;
    if (!item || json_array_append_new(list, item)) break;
  }
  json_decref(list);
  return NULL;
}

static json_t *mapping(reader *r, int depth) {
  json_t *map = json_object();
  for (yaml_event_t key, e; map && next(r, &key);) {
    bool end = key.type == YAML_MAPPING_END_EVENT, ok = false;
    const char *text = (const char *)key.data.scalar.value;
    if (end || key.type != YAML_SCALAR_EVENT || strlen(text) != key.data.scalar.length ||
        json_object_get(map, text)) {
      if (!end) refuse(r, &key, "a key that is no text, or is there twice");
    } else if (next(r, &e)) {
      json_t *item = value(r, &e, depth);
      ok = item && !json_object_set_new(map, text, item);
      if (item && !ok) refuse(r, &key, "no UTF-8");
      yaml_event_delete(&e);
    }
    yaml_event_delete(&key);
    if (end) return map;
    if (!ok) break;
  }
  json_decref(map);
  return NULL;
}

static json_t *value(reader *r, yaml_event_t *e, int depth) {
  if (depth == DEPTH_MOST) return refuse(r, e, "too deep");
  if (e->type == YAML_SCALAR_EVENT) return scalar(r, e);
  if (e->type == YAML_SEQUENCE_START_EVENT) return sequence(r, depth + 1);
  if (e->type == YAML_MAPPING_START_EVENT) return mapping(r, depth + 1);
  return refuse(r, e, "anchors are not read");
}

json_t *dg_yaml_read(const uint8_t *bytes, size_t size, dg_error *err) {
  reader r = {.err = err};
  if (!yaml_parser_initialize(&r.parser)) {
    dg_fail(err, DG_ERR_MEMORY, "no memory for YAML");
    return NULL;
  }
  yaml_parser_set_input_string(&r.parser, bytes, size);
  json_t *found = NULL;
  for (yaml_event_t e; next(&r, &e);) {
    bool before = e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT;
    if (!before) found = e.type == YAML_STREAM_END_EVENT ? refuse(&r, &e, "nothing in it")
                                                         : value(&r, &e, 0);
    yaml_event_delete(&e);
    if (!before) break;
  }
  yaml_parser_delete(&r.parser);
  return found;
}
