/* alarm.h - something that wants to be called at a time: embed it, set its fire, and hand it to orri_node_alarm. */
#ifndef ORRI_ALARM_H
#define ORRI_ALARM_H

#include "base/heap.h"

struct orri_alarm {
    struct orr_timer timer;         /* first */
    void (*fire)(struct orri_alarm *alarm);
};

#endif
