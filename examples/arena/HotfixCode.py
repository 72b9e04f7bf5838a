"""The same fix by hand, as a hotfix file: executed in the live server by suture.do_hotfix."""

import suture


def duty_officer():
    from arena import combat

    @suture.replace_func(combat)
    def damage(attack, armour):
        return attack - armour


duty_officer()
